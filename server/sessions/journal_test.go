package sessions

import (
	"testing"
	"testing/synctest"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// counting dials with a hello that has a sequence.
func (r *rig) counting(sequence uint64) *pipe {
	r.t.Helper()
	p := r.dial(queueSize * 2)
	h := hello()
	h.GetHello().JournalSequence = sequence
	p.toServer <- h
	synctest.Wait()
	return p
}

// TestWhatWasHeardOfAJournalIsKept, whether the session ends or another takes its place, and the engine is told first of all.
func TestWhatWasHeardOfAJournalIsKept(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		old := r.counting(5)
		expectEvents(t, r.world.take(), "journal of T-0001 at 5 , plugins of T-0001 [aa], facts of T-0001 1 services=0, connected T-0001 1 open=0 journal=j")
		started := &agentv1.Started{Key: &agentv1.TaskKey{JobId: job, Attempt: 1}, JournalSequence: 8}
		old.toServer <- &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Started{Started: started}}
		synctest.Wait()
		expectEvents(t, r.world.take(), "started")
		newer := r.counting(6)
		expectRefusal(t, <-old.returned, "SESSION_REPLACED")
		synctest.Wait()
		expectEvents(t, r.world.take(), "opened after 8, journal of T-0001 at 6 , plugins of T-0001 [aa], facts of T-0001 2 services=0, connected T-0001 2 open=0 journal=j, disconnected T-0001 1")
		last := result(actionv1.TaskStatus_TASK_STATUS_SUCCEEDED)
		last.GetResult().JournalSequence = 12
		newer.toServer <- last
		synctest.Wait()
		r.world.take()
		newer.hangUp(t)
		synctest.Wait()
		expectEvents(t, r.world.take(), "disconnected T-0001 2, heard j at 12, closed T-0001")
	})
}

// TestASessionInQuarantineStays, so that the terminal can be looked at; the engine is told of it.
func TestASessionInQuarantineStays(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.world.quarantine = &fleetv1.Quarantine{Reason: "rolled back"}
		p := r.counting(5)
		expectEvents(t, r.world.take(), "journal of T-0001 at 5 rolled back, plugins of T-0001 [aa], facts of T-0001 1 services=0, connected T-0001 1 open=0 journal=j")
		if !r.registry.Online("T-0001") {
			t.Error("a terminal in quarantine has no session")
		}
		p.hangUp(t)
		synctest.Wait()
	})
}
