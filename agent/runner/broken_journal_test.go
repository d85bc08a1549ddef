package runner

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// TestJournalThatCannotBeWritten: without a journal nothing is begun, what was stopped is put back, and Run says so, so that
// the agent ends.
func TestJournalThatCannotBeWritten(t *testing.T) {
	for _, step := range []string{"start", "plan", "intent stop", "outcome stop", "intent start", "outcome start", "enter verify", "finish"} {
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				whole := b.journal
				b.journal = fullJournal{mortalJournal{whole, &life{left: stepsUntil(t, step, nil) - deedsBefore(step)}}}
				b.start()
				task := b.task("j", "restart")
				b.dispatch(task)
				b.permit(task)
				time.Sleep(5 * time.Minute)
				if err := b.stop(); !errors.Is(err, errCrashed) {
					t.Errorf("Run ended with %v, want the journal's error", err)
				}
				b.wantRunning()
				if err := b.runner.Dispatch(t.Context(), &agentv1.Dispatch{Task: b.task("j2", "restart")}); err == nil {
					t.Error("another task was taken in without a journal")
				}
				if b.server.results["j/1"] != nil {
					t.Error("a result was reported that is not in the journal")
				}
				b.journal = whole
				b.start()
				b.permit(task)
				b.result(task)
				if err := b.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// fullJournal is a journal on a full disk.
type fullJournal struct{ mortalJournal }

// deedsBefore counts the deeds on the machine, which are steps too, before a step.
func deedsBefore(step string) int {
	switch step {
	case "outcome stop", "intent start":
		return 1
	case "outcome start", "enter verify", "finish":
		return 2
	}
	return 0
}
