// Package match finds which rules of the catalogue a line of a log obeys. All literals and codes of all rules of a kind of file are looked for in
// one pass, so that a line costs the same with ten rules and with a thousand. The agent's log detector uses it on the machine, the catalogue's
// checks on the samples; both read a text in the same folded form.
package match

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// MaxLine is how much of a line is looked at, in bytes.
const MaxLine = 16 << 10

// Hit is a rule that a line obeys.
type Hit struct {
	Rule *agentv1.LogRule
	// Joined: it took this line and the one before.
	Joined bool
}

// Set is compiled rules. It may be used from many goroutines.
type Set struct {
	machines map[string]*machine
	streams  sync.Pool
}

// Compile makes a set of rules. It refuses rules that could obey no line or every line.
func Compile(rules []*agentv1.LogRule) (*Set, error) {
	byClass := map[string][]*agentv1.LogRule{}
	for _, r := range rules {
		byClass[r.GetFileClass()] = append(byClass[r.GetFileClass()], r)
	}
	s := &Set{machines: map[string]*machine{}}
	for class, of := range byClass {
		m, err := newMachine(of)
		if err != nil {
			return nil, err
		}
		s.machines[class] = m
	}
	s.streams.New = func() any { return &Stream{} }
	return s, nil
}

// Classes returns the kinds of files that have rules.
func (s *Set) Classes() []string {
	var classes []string
	for class := range s.machines {
		classes = append(classes, class)
	}
	slices.Sort(classes)
	return classes
}

// Line returns the rules that a line of a file of a class obeys, the surest first: those with a code before those without, then those whose
// texts are longer. A rule whose texts are all part of a surer one's is left out.
func (s *Set) Line(class string, line []byte) []Hit {
	st := s.borrow(class)
	if st == nil {
		return nil
	}
	defer s.streams.Put(st)
	return st.Line(line)
}

// Joined returns the rules that two lines obey together and neither alone: what is printed over two lines.
func (s *Set) Joined(class string, first, second []byte) []Hit {
	st := s.borrow(class)
	if st == nil {
		return nil
	}
	defer s.streams.Put(st)
	st.Line(first)
	return slices.DeleteFunc(st.Line(second), func(h Hit) bool { return !h.Joined })
}

func (s *Set) borrow(class string) *Stream {
	m := s.machines[class]
	if m == nil {
		return nil
	}
	st, _ := s.streams.Get().(*Stream)
	st.use(m)
	return st
}

// Stream is for the lines of one file in their order. It may be used from one goroutine at a time.
func (s *Set) Stream(class string) *Stream {
	st := &Stream{}
	if m := s.machines[class]; m != nil {
		st.use(m)
	}
	return st
}

// Stream reads lines of one file. It is made by Set.Stream.
type Stream struct {
	m *machine
	// folded is the line that is read now.
	folded []byte
	// state is where the automaton stood at the end of the line before, if there was one.
	state   uint32
	started bool
	// Patterns that the line before had, that this one has, and that begin in the one and end in the other.
	before, now, across found
	hits                []Hit
}

func (st *Stream) use(m *machine) {
	st.m = m
	st.before.fit(m)
	st.now.fit(m)
	st.across.fit(m)
	st.Reset()
}

// Reset forgets the line before: what comes next does not follow it.
func (st *Stream) Reset() {
	st.started, st.state = false, 0
	st.hits = st.hits[:0]
	st.before.clear()
	st.now.clear()
	st.across.clear()
}

// Line takes the file's next line and returns what it obeys by itself and what it obeys together with the line before, which are marked as
// Joined. A line that obeys nothing costs no memory.
func (st *Stream) Line(line []byte) []Hit {
	if st.m == nil {
		return nil
	}
	st.folded = Fold(st.folded[:0], line)
	st.before, st.now = st.now, st.before
	st.now.clear()
	st.across.clear()
	if st.started {
		st.state = st.m.step(st.state, ' ')
	}
	st.state, st.started = st.m.scan(st.state, st.folded, &st.now, &st.across), true
	if !st.now.any && !st.across.any {
		st.hits = st.hits[:0]
		return nil
	}
	return st.judge()
}

// judge is what is found, as hits. What the line before obeyed was told with that.
func (st *Stream) judge() []Hit {
	told := st.hits
	alone := st.m.obeyed(&st.now)
	var joined []Hit
	if st.before.any || st.across.any {
		st.across.add(&st.before)
		st.across.add(&st.now)
		joined = st.m.obeyed(&st.across)
		for i := range joined {
			joined[i].Joined = true
		}
		joined = slices.DeleteFunc(joined, func(h Hit) bool { return has(told, h) || has(alone, h) })
	}
	out := surest(append(alone, joined...))
	st.hits = append(st.hits[:0], alone...)
	return out
}

func has(hits []Hit, h Hit) bool {
	return slices.ContainsFunc(hits, func(o Hit) bool { return o.Rule == h.Rule })
}

// surest sorts hits and leaves those out whose texts are part of a surer one's.
func surest(hits []Hit) []Hit {
	if len(hits) < 2 {
		return hits
	}
	slices.SortStableFunc(hits, compareHits)
	var out []Hit
	for _, h := range hits {
		if !slices.ContainsFunc(out, func(o Hit) bool { return covers(o.Rule, h.Rule) }) {
			out = append(out, h)
		}
	}
	return out
}

func compareHits(a, b Hit) int {
	return cmp.Or(
		-cmp.Compare(min(len(a.Rule.GetCode()), 1), min(len(b.Rule.GetCode()), 1)),
		-cmp.Compare(textLength(a.Rule), textLength(b.Rule)),
		cmp.Compare(a.Rule.GetId(), b.Rule.GetId()),
	)
}

func textLength(r *agentv1.LogRule) int {
	n := 0
	for _, text := range texts(r) {
		n += len(text)
	}
	return n
}

// texts are the literals that a rule asks for, folded.
func texts(r *agentv1.LogRule) []string {
	var out []string
	for _, text := range slices.Concat(r.GetAll(), r.GetAny()) {
		out = append(out, FoldText(text))
	}
	return out
}

// covers says whether a surer rule says all that another one says, and more.
func covers(surer, other *agentv1.LogRule) bool {
	longer := texts(surer)
	for _, text := range texts(other) {
		if !slices.ContainsFunc(longer, func(l string) bool { return strings.Contains(l, text) }) {
			return false
		}
	}
	if surer.GetCode() != other.GetCode() {
		return surer.GetCode() != "" && other.GetCode() == ""
	}
	return textLength(surer) > textLength(other)
}
