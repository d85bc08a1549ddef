package journal

import (
	"path/filepath"
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// TestTheSequenceGrowsWithEachWrite, so that an older copy of the file is known by it, and survives the process.
func TestTheSequenceGrowsWithEachWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	told := j.Sequence()
	if told == 0 {
		t.Fatal("a new journal has the sequence 0, by which the server knows agents that do not count")
	}
	grows := func(what string, err error) {
		t.Helper()
		must(t, err)
		if now := j.Sequence(); now <= told {
			t.Errorf("after %s the sequence is %d, want more than %d: a copy from before could not be told from the file", what, now, told)
		}
		told = j.Sequence()
	}
	_, _, err := j.Accept(task("j"), noon)
	grows("Accept", err)
	grows("Start", j.Start(key("j"), noon, "b"))
	_, err = j.EffectIntent(key("j"), 1, effect("e"))
	grows("EffectIntent", err)
	grows("EffectOutcome", j.EffectOutcome(key("j"), 1, effect("e")))
	_, err = j.SaveAnswer(key("j"), "ask", &actionv1.Confirmation{Confirmed: true})
	grows("SaveAnswer", err)
	grows("Finish", j.Finish(key("j"), &actionv1.TaskResult{}, noon))
	grows("Acknowledge", j.Acknowledge(key("j"), noon))
	grows("RaiseEpoch", j.RaiseEpoch(7))
	grows("PutObligation", j.PutObligation(&storagev1.Obligation{Resource: "r"}))
	grows("PutArtifact", j.PutArtifact(&storagev1.JournalArtifact{File: "f"}))
	begun, err := j.BeginSession()
	grows("BeginSession", err)
	if begun != told {
		t.Errorf("a session begins with the sequence %d, want %d: that of the write that was made for it", begun, told)
	}
	must(t, j.RaiseEpoch(7))
	if err := j.Start(key("unknown"), noon, "b"); err == nil || j.Sequence() != told {
		t.Errorf("after a write that was refused (%v) and one that had nothing to write the sequence is %d, want still %d", err, j.Sequence(), told)
	}
	must(t, j.Close())
	if j = open(t, path); j.Sequence() != told {
		t.Errorf("after the file was opened again the sequence is %d, want %d", j.Sequence(), told)
	}
}

// TestJournalsOfASharedFileCountForThemselves, also when their writes share a commit.
func TestJournalsOfASharedFileCountForThemselves(t *testing.T) {
	s, err := OpenShared(filepath.Join(t.TempDir(), "journals.db"))
	must(t, err)
	defer s.Close()
	a, err := s.Journal("a")
	must(t, err)
	b, err := s.Journal("b")
	must(t, err)
	before := b.Sequence()
	first := make(chan error)
	for _, k := range []*agentv1.TaskKey{key("j-1"), key("j-2"), key("j-3")} {
		go func() {
			_, _, err := a.Accept(&agentv1.Task{Key: k}, noon)
			first <- err
		}()
	}
	for range 3 {
		must(t, <-first)
	}
	if a.Sequence() != before+3 || b.Sequence() != before {
		t.Errorf("after 3 writes to one of two journals they have the sequences %d and %d, want %d and %d", a.Sequence(), b.Sequence(), before+3, before)
	}
	again, err := s.Journal("a")
	if err != nil || again.Sequence() != before+3 {
		t.Errorf("opened again it has the sequence %d, %v; want %d", again.Sequence(), err, before+3)
	}
}
