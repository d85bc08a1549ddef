package inventory_test

import (
	"testing"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// visit is a session that told sequences of a journal.
type visit struct {
	journal string
	// hello is the sequence at the hello, before what the session told that it replaced, and heard the greatest that it told itself.
	hello, before, heard uint64
}

func (f *fixture) visit(id string, v visit) *fleetv1.Quarantine {
	f.t.Helper()
	opening, err := f.SessionOpened(f.as(id), id, &agentv1.Hello{JournalId: v.journal, JournalSequence: v.hello}, v.before)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.SessionClosed(f.t.Context(), id, v.journal, max(v.hello, v.heard)); err != nil {
		f.t.Fatal(err)
	}
	return opening.Quarantine
}

// TestJournalsAreJudgedAtTheHello: the last visit finds the journal as it should be, lost, or rolled back.
func TestJournalsAreJudgedAtTheHello(t *testing.T) {
	const lost, old = "its agent has lost its journal and made another", "its agent's journal was rolled back"
	for name, c := range map[string]struct {
		visits []visit
		want   string
	}{
		"the first":                                  {[]visit{{journal: "journal-1", hello: 2}}, ""},
		"it has grown":                               {[]visit{{journal: "journal-1", hello: 2, heard: 9}, {journal: "journal-1", hello: 10}}, ""},
		"a copy from before the result":              {[]visit{{journal: "journal-1", hello: 2, heard: 9}, {journal: "journal-1", hello: 8}}, old},
		"a copy from before the session":             {[]visit{{journal: "journal-1", hello: 2}, {journal: "journal-1", hello: 2}}, old},
		"a copy from before what another told":       {[]visit{{journal: "journal-1", hello: 5, before: 7}}, old},
		"another journal":                            {[]visit{{journal: "journal-2", hello: 2}}, lost},
		"another journal that does not count":        {[]visit{{journal: "journal-2"}}, lost},
		"one that does not count is never an older":  {[]visit{{journal: "journal-1", hello: 2, heard: 9}, {journal: "journal-1"}}, ""},
		"the first reason stays":                     {[]visit{{journal: "journal-2", hello: 5}, {journal: "journal-2", hello: 4}}, lost},
		"it stays in quarantine when it grows again": {[]visit{{journal: "journal-2", hello: 5}, {journal: "journal-2", hello: 6}}, lost},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			id := f.enrol("lyon", "press-1")
			var q *fleetv1.Quarantine
			for _, v := range c.visits {
				q = f.visit(id, v)
			}
			r, _ := f.Terminal(t.Context(), id)
			if q.GetReason() != c.want || r.GetTerminal().GetQuarantine().GetReason() != c.want {
				t.Errorf("in quarantine because %q, stored %q, want %q", q.GetReason(), r.GetTerminal().GetQuarantine().GetReason(), c.want)
			}
			if q != nil && !q.GetTime().AsTime().Equal(f.now.UTC()) {
				t.Errorf("in quarantine since %v, want now", q.GetTime().AsTime())
			}
		})
	}
}

// TestAQuarantineIsEndedByAPerson, with a reason, and the journal that was found is the one that counts from then on.
func TestAQuarantineIsEndedByAPerson(t *testing.T) {
	f := newFixture(t)
	id := f.enrol("lyon", "press-1")
	f.visit(id, visit{journal: "journal-1", hello: 9})
	f.visit(id, visit{journal: "journal-1", hello: 4})
	_, err := f.Release(t.Context(), admin, &fleetv1.ReleaseTerminalRequest{Terminal: id})
	wantRefusal(t, err, "REQUIRED")
	before := f.records()
	for range 2 {
		r, err := f.Release(t.Context(), admin, &fleetv1.ReleaseTerminalRequest{Terminal: "press-1", Reason: "looked at it"})
		if err != nil || r.GetTerminal().GetQuarantine() != nil {
			t.Fatalf("released: %v, %v", r.GetTerminal(), err)
		}
	}
	if n := f.records() - before; n != 1 {
		t.Errorf("two releases left %d audit records, want 1: the second changed nothing", n)
	}
	if q := f.visit(id, visit{journal: "journal-1", hello: 5}); q != nil {
		t.Errorf("in quarantine again (%s), want that the journal which a person has seen counts", q.GetReason())
	}
	if q := f.visit(id, visit{journal: "journal-1", hello: 5}); q == nil {
		t.Error("not in quarantine after another rollback")
	}
}

// TestAReEnrolmentEndsAQuarantine: a person has decided that the machine is the terminal, with the journal that it has now.
func TestAReEnrolmentEndsAQuarantine(t *testing.T) {
	f := newFixture(t)
	id := f.enrol("lyon", "press-1")
	f.visit(id, visit{journal: "journal-2", hello: 9})
	text, _, err := f.ReEnrol(t.Context(), admin, &fleetv1.ReEnrolTerminalRequest{Terminal: id})
	if err != nil {
		t.Fatal(err)
	}
	req := enrolRequest(t, f.parse(text), "")
	req.JournalId = "journal-3"
	if _, err := f.Enroll(t.Context(), req, f.ca.IssueAgent); err != nil {
		t.Fatal(err)
	}
	if q := f.visit(id, visit{journal: "journal-3", hello: 2}); q != nil {
		t.Errorf("in quarantine (%s) with the journal that it was enrolled with", q.GetReason())
	}
}
