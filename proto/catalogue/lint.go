package catalogue

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue/match"
)

// Problem is something that is wrong with an entry.
type Problem struct {
	Entry string
	// With is another entry that has to do with it; empty when none has.
	With string
	// Field is its place in the entry ("detect.logs[0].code").
	Field string
	// Text says what is wrong and what would be right.
	Text string
}

// String is the problem for people.
func (p Problem) String() string { return fmt.Sprintf("entry %q: %s: %s", p.Entry, p.Field, p.Text) }

// Actions are the actions that machines offer; nil means that nobody knows, and then steps are not compared with any.
type Actions []*actionv1.Action

func (a Actions) named(name string) (found []*actionv1.Action) {
	for _, one := range a {
		if one.GetName() == name {
			found = append(found, one)
		}
	}
	return found
}

// Lint returns all that is wrong with a catalogue, entry by entry.
func Lint(c *Catalogue, actions Actions) []Problem {
	l := &linter{c: c, actions: actions}
	for _, e := range c.entries {
		l.entry = e
		l.head()
		l.detect()
		l.remedy()
		l.person()
		l.common()
	}
	l.samples()
	slices.SortStableFunc(l.problems, func(a, b Problem) int {
		return cmp.Compare(l.place(a.Entry), l.place(b.Entry))
	})
	return l.problems
}

// LintPack returns what is wrong with a pack when it is added to a catalogue: only what its own entries have to do with.
func LintPack(base *Catalogue, p *Pack, actions Actions) ([]Problem, error) {
	c, err := base.With(p)
	if err != nil {
		return nil, err
	}
	theirs := func(id string) bool { return slices.ContainsFunc(p.Entries, func(e *Entry) bool { return e.ID == id }) }
	return slices.DeleteFunc(Lint(c, actions), func(f Problem) bool { return !theirs(f.Entry) && !theirs(f.With) }), nil
}

// linter looks at one entry after the other.
type linter struct {
	c        *Catalogue
	actions  Actions
	entry    *Entry
	problems []Problem
}

func (l *linter) place(id string) int {
	return slices.IndexFunc(l.c.entries, func(e *Entry) bool { return e.ID == id })
}

func (l *linter) bad(field, format string, args ...any) {
	l.problems = append(l.problems, Problem{Entry: l.entry.ID, Field: field, Text: fmt.Sprintf(format, args...)})
}

// Bounds of texts, in bytes.
const (
	maxLineText = 200
	maxLongText = 4000
	maxList     = 50
)

// head looks at what people read first.
func (l *linter) head() {
	e := l.entry
	if !idPattern.MatchString(e.ID) {
		l.bad("id", "want lower case letters, digits and dashes, at most 64")
	}
	l.line("title", e.Title, true)
	l.long("symptom", e.Symptom, true)
	l.line("chapter", e.Chapter, true)
	l.long("verify", e.Verify, true)
	l.oneOf("target", string(e.Target), string(Terminal), string(NESHost), string(Band), string(Device))
	l.list("says", e.Says)
	l.list("words", e.Words)
	l.list("causes", e.Causes)
	for i, code := range e.Codes {
		if !match.IsCode(code) {
			l.bad(fmt.Sprintf("codes[%d]", i), "is %q, want a number such as 2200 or 500.19", code)
		}
	}
}

func (l *linter) list(field string, texts []string) {
	if len(texts) > maxList {
		l.bad(field, "has %d texts, at most %d are allowed", len(texts), maxList)
	}
	for i, text := range texts {
		l.long(fmt.Sprintf("%s[%d]", field, i), text, true)
	}
}

// line is a text of one line.
func (l *linter) line(field, text string, required bool) {
	if strings.Contains(strings.TrimSpace(text), "\n") || len(text) > maxLineText {
		l.bad(field, "want one line of at most %d bytes", maxLineText)
		return
	}
	l.long(field, text, required)
}

// long is a text that people are shown.
func (l *linter) long(field, text string, required bool) {
	switch {
	case required && strings.TrimSpace(text) == "":
		l.bad(field, "is missing")
	case len(text) > maxLongText:
		l.bad(field, "has %d bytes, at most %d are allowed", len(text), maxLongText)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unseen):
		l.bad(field, "has control characters, which could make a screen show something else")
	}
}

// unseen says whether a character does something to a screen instead of being shown.
func unseen(r rune) bool {
	return r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}

func (l *linter) oneOf(field, value string, allowed ...string) bool {
	if slices.Contains(allowed, value) {
		return true
	}
	l.bad(field, "is %q, want %s", value, strings.Join(allowed, ", "))
	return false
}

// known says whether another entry is there.
func (l *linter) known(field, id string) bool {
	switch {
	case id == l.entry.ID:
		l.bad(field, "names the entry itself")
	case l.c.Entry(id) == nil:
		l.bad(field, "names the entry %q, which is not there", id)
	default:
		return true
	}
	return false
}

// common looks at what groups faults.
func (l *linter) common() {
	if l.entry.Common == nil {
		return
	}
	l.oneOf("common.kind", l.entry.Common.Kind, "nes-host", "nymi-agent", "certificate")
	for i, id := range l.entry.Common.Cause {
		l.known(fmt.Sprintf("common.cause[%d]", i), id)
	}
}
