package jobs

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// found connects terminal 0 whose journal was found so.
func (r *rig) found(sequence uint64, q *fleetv1.Quarantine, open ...*agentv1.OpenTask) {
	r.t.Helper()
	if err := r.engine.Journal(r.t.Context(), terminalID(0), sequence, q); err != nil {
		r.t.Fatal(err)
	}
	r.connect(0, open...)
	synctest.Wait()
}

func (r *rig) dispatched() (n int) {
	for _, word := range r.wire.take(terminalID(0)) {
		if word == "permit" || strings.HasPrefix(word, "dispatch") {
			n++
		}
	}
	return n
}

func quarantined() *fleetv1.Quarantine {
	return &fleetv1.Quarantine{Time: timestamppb.Now(), Reason: "its agent's journal was rolled back"}
}

// TestATerminalInQuarantineIsGivenNothing until it is released: its tasks wait and say what to do.
func TestATerminalInQuarantineIsGivenNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.found(5, quarantined())
		job := r.create(nil)
		if n := r.dispatched(); n != 0 {
			t.Fatalf("%d tasks or permits were sent to a terminal in quarantine", n)
		}
		wait := r.task(0, job).GetWait()
		expect(t, "wait", wait.GetReason(), fleetv1.WaitReason_WAIT_REASON_FROZEN)
		if !strings.Contains(wait.GetDetail(), "its agent's journal was rolled back; look at the terminal, then `fleetctl terminal release T-0000`") {
			t.Errorf("it waits because %q, which does not say what to do", wait.GetDetail())
		}
		r.disconnect(0)
		expect(t, "wait while it is away", r.task(0, job).GetWait().GetReason(), fleetv1.WaitReason_WAIT_REASON_FROZEN)
		r.found(6, quarantined())
		if n := r.dispatched(); n != 0 {
			t.Fatalf("%d tasks or permits were sent in another session in quarantine", n)
		}
		for range 2 {
			if err := r.engine.Released(t.Context(), terminalID(0)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := r.dispatched(); n != 1 {
			t.Errorf("after the release %d tasks were sent, want the one that waited", n)
		}
	}, "lyon")
}

// TestWhatARolledBackAgentForgot is UNKNOWN, is not started again, and the terminal comes into quarantine, also when the server was
// restarted in between.
func TestWhatARolledBackAgentForgot(t *testing.T) {
	holds := func(job *fleetv1.Job) []*agentv1.OpenTask {
		return []*agentv1.OpenTask{{Key: key(job), State: agentv1.TaskState_TASK_STATE_ACCEPTED}}
	}
	none := func(*fleetv1.Job) []*agentv1.OpenTask { return nil }
	for name, c := range map[string]struct {
		// first and then are the sequences at the hellos; 0 is an agent that does not count.
		first, then       uint64
		started, restart  bool
		open              func(*fleetv1.Job) []*agentv1.OpenTask
		unknown, distrust bool
	}{
		"intact, the task never came":                     {5, 6, false, false, none, false, false},
		"intact, the task never came, server restarted":   {5, 6, false, true, none, false, false},
		"intact, accepted":                                {5, 7, false, true, holds, false, false},
		"a copy from before the session":                  {5, 5, false, false, none, true, true},
		"a copy from before it, server restarted":         {5, 5, false, true, none, true, true},
		"an old copy, server restarted":                   {5, 2, false, true, none, true, true},
		"a copy from within the session, told as started": {5, 6, true, false, holds, true, true},
		"the same, server restarted":                      {5, 6, true, true, holds, true, true},
		"the same, journal without the task":              {5, 6, true, true, none, true, true},
		"does not count, told as started":                 {0, 0, true, false, none, true, false},
		"does not count, never told":                      {0, 0, false, false, none, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.found(c.first, nil)
				job := r.create(nil)
				if c.started {
					if err := r.engine.Started(t.Context(), terminalID(0), &agentv1.Started{Key: key(job)}); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				r.disconnect(0)
				if c.restart {
					r.restart()
				}
				r.wire.take(terminalID(0))
				r.found(c.then, nil, c.open(job)...)
				if got := len(r.fleet.rolledBack) > 0; got != c.distrust {
					t.Errorf("put into quarantine: %v, want %v", got, c.distrust)
				}
				task := r.task(0, job)
				if got := task.GetStatus() == unknown; got != c.unknown {
					t.Errorf("status %v (%s), want UNKNOWN: %v", task.GetStatus(), task.GetResult().GetReason(), c.unknown)
				}
				if n := r.dispatched(); (n > 0) == c.unknown {
					t.Errorf("%d tasks or permits were sent; what may have been started must not be sent again, what cannot have been must", n)
				}
				r.wantFrozen(c.distrust)
			}, "lyon")
		})
	}
}

// wantFrozen asks for another job and wants it to wait for a release, or not.
func (r *rig) wantFrozen(want bool) {
	r.t.Helper()
	next := r.create(nil)
	if got := r.task(0, next).GetWait().GetReason() == fleetv1.WaitReason_WAIT_REASON_FROZEN; got != want {
		r.t.Errorf("the next job waits for a release: %v, want %v", got, want)
	}
}

// TestAQuarantineIsStoredInTheEnd, also when the store refuses it at first; meanwhile nothing is started either.
func TestAQuarantineIsStoredInTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.found(5, nil)
		r.create(nil)
		r.disconnect(0)
		r.fleet.mu.Lock()
		r.fleet.refuse = errors.New("disk full")
		r.fleet.mu.Unlock()
		r.found(5, nil)
		r.wantFrozen(true)
		r.fleet.mu.Lock()
		r.fleet.refuse = nil
		tried := len(r.fleet.rolledBack)
		r.fleet.mu.Unlock()
		time.Sleep(2 * retryAfter)
		synctest.Wait()
		if n := len(r.fleet.rolledBack); n != tried+1 {
			t.Errorf("tried %d times after the disk had room, want once more and then no more", n-tried)
		}
	}, "lyon")
}

// TestARestoredServerDoesNotDistrustAnAgentThatHasGoneOn: the task was told as started before the backup, and has ended since.
func TestARestoredServerDoesNotDistrustAnAgentThatHasGoneOn(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.found(5, nil)
		job := r.create(nil)
		if err := r.engine.Started(t.Context(), terminalID(0), &agentv1.Started{Key: key(job)}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		backup := r.backup()
		r.disconnect(0)
		r.restore(backup)
		r.wire.take(terminalID(0))
		r.found(9, nil)
		expectSent(t, r.wire.take(terminalID(0)), "dispatch", "cancel")
		if len(r.fleet.rolledBack) > 0 {
			t.Error("the terminal came into quarantine: its agent is asked what became of the task, and knows")
		}
	}, "lyon")
}
