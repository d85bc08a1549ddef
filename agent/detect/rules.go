package detect

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
)

// orders are agent.v1.Orders made ready to go by.
type orders struct {
	version string
	site    *actionv1.Surroundings
	rules   []*rule
	// by signal: the rules that ask for it.
	by map[string][]*rule
	// skipped rules ask for what this agent does not know: they are of a newer release.
	skipped []string
}

// rule is one agent.v1.StateRule.
type rule struct {
	entry string
	all   []*agentv1.SignalIs
	wait  time.Duration
	// text tells whether two rules are the same.
	text string
	// conditions by subject.
	conditions map[string]*condition
}

// compile reads orders. A rule that makes no sense is an error; one that asks for a signal or a value that this agent does not know is left
// out, since the server may be a release ahead.
func compile(o *agentv1.Orders) (*orders, error) {
	o = proto.CloneOf(o) // the caller may go on using it
	compiled := &orders{version: o.GetVersion(), site: o.GetExpectations().GetSite(), by: map[string][]*rule{}}
	if compiled.site == nil {
		compiled.site = &actionv1.Surroundings{}
	}
	known := valuesBySignal()
	for i, state := range o.GetStates() {
		r, err := compileRule(state)
		if err != nil {
			return nil, fmt.Errorf("orders %q: state rule %d (entry %q): %w", o.GetVersion(), i+1, state.GetEntry(), err)
		}
		if !understood(known, r) {
			compiled.skipped = append(compiled.skipped, r.entry)
			continue
		}
		compiled.add(r)
	}
	return compiled, nil
}

func (o *orders) add(r *rule) {
	if slices.ContainsFunc(o.rules, func(other *rule) bool { return other.text == r.text }) {
		return
	}
	o.rules = append(o.rules, r)
	for _, is := range r.all {
		if !slices.Contains(o.by[is.GetSignal()], r) {
			o.by[is.GetSignal()] = append(o.by[is.GetSignal()], r)
		}
	}
}

// of returns the rules of an entry.
func (o *orders) of(entry string) []*rule {
	return slices.DeleteFunc(slices.Clone(o.rules), func(r *rule) bool { return r.entry != entry })
}

func compileRule(s *agentv1.StateRule) (*rule, error) {
	switch {
	case s.GetEntry() == "":
		return nil, errors.New("has no entry")
	case len(s.GetAll()) == 0:
		return nil, errors.New("asks for nothing, so it would always hold")
	case s.GetFor().AsDuration() < 0:
		return nil, fmt.Errorf("asks for %s, want a time that is not negative", s.GetFor().AsDuration())
	}
	for _, is := range s.GetAll() {
		if is.GetSignal() == "" || len(is.GetValues()) == 0 {
			return nil, fmt.Errorf("asks for signal %q without a name or a value", is.GetSignal())
		}
		if slices.Contains(is.GetValues(), catalogue.Unknown) {
			return nil, fmt.Errorf("asks for signal %q to be %s, which opens no fault", is.GetSignal(), catalogue.Unknown)
		}
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
	if err != nil {
		return nil, err
	}
	return &rule{
		entry: s.GetEntry(), all: s.GetAll(), wait: s.GetFor().AsDuration(), text: string(text), conditions: map[string]*condition{},
	}, nil
}

func valuesBySignal() map[string][]string {
	values := map[string][]string{}
	for _, s := range catalogue.Signals() {
		values[s.Name] = s.Values
	}
	return values
}

func understood(known map[string][]string, r *rule) bool {
	for _, is := range r.all {
		values, ok := known[is.GetSignal()]
		if !ok || slices.ContainsFunc(is.GetValues(), func(v string) bool { return !slices.Contains(values, v) }) {
			return false
		}
	}
	return true
}

// truth is what is known of a condition.
type truth int

const (
	undecided truth = iota
	holds
	holdsNot
)

// judge says whether the rule's condition holds for a subject, and what was read of it. Signals after the first are looked up by the same
// subject, else any of theirs will do. present is false when the first signal was read and has no such subject any more.
func (r *rule) judge(w what, subject string) (t truth, readings []Reading, present bool) {
	first, ok := w[r.all[0].GetSignal()]
	if !ok {
		return undecided, nil, true
	}
	if _, present = first[subject]; !present {
		return gonesBySubject(first), nil, false
	}
	t = holds
	for _, is := range r.all {
		one, reading, ok := judgeSignal(w[is.GetSignal()], is.GetValues(), subject)
		if ok {
			readings = append(readings, reading)
		}
		t = both(t, one)
	}
	return t, readings, true
}

// gonesBySubject is what the lack of a subject means: when nothing could be read, nobody knows.
func gonesBySubject(first map[string]Reading) truth {
	if r, ok := first[""]; ok && r.Value == catalogue.Unknown {
		return undecided
	}
	return holdsNot
}

// both is the truth of two together.
func both(a, b truth) truth {
	switch {
	case a == holdsNot || b == holdsNot:
		return holdsNot
	case a == undecided || b == undecided:
		return undecided
	}
	return holds
}

func judgeSignal(subjects map[string]Reading, values []string, subject string) (truth, Reading, bool) {
	if r, ok := subjects[subject]; ok {
		return judgeReading(r, values), r, true
	}
	found, at, any := undecided, Reading{}, false
	for _, r := range subjects {
		t := judgeReading(r, values)
		switch {
		case t == holds:
			return holds, r, true
		case !any || t == undecided:
			found, at, any = t, r, true
		}
	}
	return found, at, any
}

func judgeReading(r Reading, values []string) truth {
	switch {
	case r.Value == catalogue.Unknown:
		return undecided
	case slices.Contains(values, r.Value):
		return holds
	}
	return holdsNot
}
