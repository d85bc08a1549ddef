package match

import (
	"fmt"
	"slices"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Bounds of a set of rules: an agent's memory is what they bound.
const (
	// maxTexts is the total length of all different texts of one class of files, in bytes.
	maxTexts = 64 << 10
	// maxPerRule is how many texts a rule may have.
	maxPerRule = 64
	// maxText is how long a text may be, in bytes.
	maxText = 1 << 10
	// minText is how long the longest text of a rule must be when it has no code.
	minText = 4
)

// machine looks for the patterns of one class of files.
type machine struct {
	automaton
	rules []compiled
	// rulesOf lists, for each pattern, the rules that ask for it.
	rulesOf [][]int
}

// compiled is a rule with its texts as numbers of patterns.
type compiled struct {
	rule           *agentv1.LogRule
	all, any, none []int
}

func newMachine(rules []*agentv1.LogRule) (*machine, error) {
	m, p := &machine{}, &patterns{numbers: map[string]int{}}
	ids := map[string]bool{}
	for _, r := range rules {
		if ids[r.GetId()] {
			return nil, fmt.Errorf("rule %q: is there twice; give one of them another name", r.GetId())
		}
		ids[r.GetId()] = true
		c, err := p.compile(r)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", r.GetId(), err)
		}
		m.rules = append(m.rules, c)
	}
	if p.size > maxTexts {
		return nil, fmt.Errorf("rules for files of class %q: their texts have %d bytes, at most %d are allowed; use shorter texts", rules[0].GetFileClass(), p.size, maxTexts)
	}
	m.automaton = newAutomaton(p.list)
	m.index()
	return m, nil
}

func (m *machine) index() {
	m.rulesOf = make([][]int, len(m.patterns))
	for i, c := range m.rules {
		for _, p := range slices.Concat(c.all, c.any) {
			if !slices.Contains(m.rulesOf[p], i) {
				m.rulesOf[p] = append(m.rulesOf[p], i)
			}
		}
	}
}

// obeyed is the rules whose texts are found.
func (m *machine) obeyed(f *found) []Hit {
	if !f.any {
		return nil
	}
	var hits []Hit
	for p := range m.patterns {
		if !f.has(p) {
			continue
		}
		for _, r := range m.rulesOf[p] {
			h := Hit{Rule: m.rules[r].rule}
			if m.rules[r].obeyed(f) && !has(hits, h) {
				hits = append(hits, h)
			}
		}
	}
	return surest(hits)
}

func (c *compiled) obeyed(f *found) bool {
	missing := func(p int) bool { return !f.has(p) }
	return !slices.ContainsFunc(c.all, missing) && !slices.ContainsFunc(c.none, f.has) &&
		(len(c.any) == 0 || slices.ContainsFunc(c.any, f.has))
}

// pattern is a folded literal, or a code that must stand by itself.
type pattern struct {
	text string
	code bool
}

// patterns numbers the different ones of many rules.
type patterns struct {
	list    []pattern
	numbers map[string]int
	size    int
}

func (p *patterns) number(of pattern) int {
	key := of.text
	if of.code {
		key = "\x00" + key // no folded text has it
	}
	n, ok := p.numbers[key]
	if !ok {
		n = len(p.list)
		p.numbers[key] = n
		p.list = append(p.list, of)
		p.size += len(of.text)
	}
	return n
}

// compile numbers the texts of a rule.
func (p *patterns) compile(r *agentv1.LogRule) (c compiled, err error) {
	if n := len(r.GetAll()) + len(r.GetAny()) + len(r.GetNone()); n > maxPerRule {
		return c, fmt.Errorf("has %d texts, at most %d are allowed", n, maxPerRule)
	}
	longest := 0
	literals := func(from []string) (numbers []int) {
		for _, text := range from {
			folded := FoldText(text)
			switch {
			case folded == "":
				err = fmt.Errorf("has a text that is empty, or blanks only")
				continue
			case len(text) > maxText:
				err = fmt.Errorf("has a text of %d bytes, at most %d are allowed; use shorter texts", len(text), maxText)
				continue
			}
			numbers = append(numbers, p.number(pattern{text: folded}))
		}
		return numbers
	}
	c = compiled{rule: r, all: literals(r.GetAll()), any: literals(r.GetAny()), none: literals(r.GetNone())}
	for _, text := range texts(r) {
		longest = max(longest, len(text))
	}
	switch {
	case err != nil:
		return c, err
	case longest == 0:
		return c, fmt.Errorf("has no text in all or any: a number alone stands in too many lines")
	case r.GetCode() == "" && longest < minText:
		return c, fmt.Errorf("has neither a code nor a text of at least %d characters: it would fit too many lines", minText)
	case r.GetCode() == "":
		return c, nil
	case !IsCode(r.GetCode()):
		return c, fmt.Errorf("has the code %q, want a number such as 2200 or 500.19", r.GetCode())
	}
	c.all = append(c.all, p.number(pattern{text: r.GetCode(), code: true}))
	return c, nil
}

// maxCode is the longest code, in bytes.
const maxCode = 16

// IsCode says whether a text is a number as codes are: digits, or digits with a full stop between them.
func IsCode(text string) bool {
	if text == "" || len(text) > maxCode {
		return false
	}
	for i := range len(text) {
		inside := i > 0 && i < len(text)-1
		if !isDigit(text[i]) && (text[i] != '.' || !inside || text[i-1] == '.') {
			return false
		}
	}
	return true
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }
