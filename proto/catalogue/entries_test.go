package catalogue

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestEntriesAreThoseOfTheGuide: every thing that the guide names has its entry, under an id that never changes, and nothing else has.
func TestEntriesAreThoseOfTheGuide(t *testing.T) {
	text, err := os.ReadFile("testdata/ids.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(text))
	var got []string
	for _, e := range loaded(t).Entries() {
		got = append(got, e.ID)
	}
	for _, id := range want {
		if !slices.Contains(got, id) {
			t.Errorf("entry %q is not there, want one for each id of testdata/ids.txt", id)
		}
	}
	for _, id := range got {
		if !slices.Contains(want, id) {
			t.Errorf("entry %q is no thing of the guide, want the ids of testdata/ids.txt only", id)
		}
	}
}

// TestKindsOfRemediesAreThoseOfTheGuide: what a machine may do by itself, what it does when somebody agreed, and what people do.
func TestKindsOfRemediesAreThoseOfTheGuide(t *testing.T) {
	got := map[Kind]int{}
	for _, e := range loaded(t).Entries() {
		got[e.Remedy.Kind]++
	}
	for kind, want := range map[Kind]int{Auto: 22, Approval: 27, Guided: 75} {
		if got[kind] != want {
			t.Errorf("%d entries are %s, want %d", got[kind], kind, want)
		}
	}
}

// TestEntriesHaveNoProblems holds the entries against everything but the actions of the plugins, with which deploy/e2e compares them.
func TestEntriesHaveNoProblems(t *testing.T) {
	for _, p := range Lint(loaded(t), nil) {
		t.Errorf("%s", p)
	}
}

// TestEveryEntryTellsAPersonWhatToDo: where no machine can help, or when it did not help, somebody has to know what comes next.
func TestEveryEntryTellsAPersonWhatToDo(t *testing.T) {
	for _, e := range loaded(t).Entries() {
		if e.Person == nil || e.Person.Assignee == "" || len(e.Person.Steps) == 0 {
			t.Errorf("entry %q has nothing for a person, want an assignee and steps", e.ID)
		}
		if !e.Detect.Reported {
			t.Errorf("entry %q cannot be reported by a person, want reported: true for all of the guide", e.ID)
		}
	}
}

// TestAStateOpensTheFaultOfOneEntry: two entries with the same condition would have a fault remedied twice. One of them has to name the other
// in `as`.
func TestAStateOpensTheFaultOfOneEntry(t *testing.T) {
	owners := map[string]string{}
	for _, e := range loaded(t).Entries() {
		for _, c := range e.Detect.State {
			for _, value := range c.All[0].Values {
				key := c.All[0].Signal + " " + value
				if other := owners[key]; other != "" && other != e.ID {
					t.Errorf("%q opens the faults of %s and of %s, want one owner", key, other, e.ID)
				}
				owners[key] = e.ID
			}
		}
	}
}

func loaded(t *testing.T) *Catalogue {
	t.Helper()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestConditionsOfStepsCanHold: a step is skipped for ever when no fault, its own or another of the same machine, can say that its condition
// holds. Those of an entry that is found by the signal itself are decided by it.
func TestConditionsOfStepsCanHold(t *testing.T) {
	c := loaded(t)
	for _, e := range c.Entries() {
		for i, s := range e.Remedy.Steps {
			if s.If != nil && !asks(e, s.If.Signal, nil) && !slices.ContainsFunc(c.Entries(), func(o *Entry) bool { return asks(o, s.If.Signal, s.If.Values) }) {
				t.Errorf("entry %q: step %d is taken if %s, want a state of some entry that finds that", e.ID, i+1, s.If.Words())
			}
		}
	}
}

// asks says whether an entry is found by a signal that has one of several values; nil is any.
func asks(e *Entry, signal string, values []string) bool {
	return slices.ContainsFunc(e.Detect.State, func(c Condition) bool {
		return slices.ContainsFunc(c.All, func(is Is) bool {
			return is.Signal == signal && (values == nil || slices.ContainsFunc(is.Values, func(v string) bool { return slices.Contains(values, v) }))
		})
	})
}
