package runner

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// TestHold: a permit that is taken back starts nothing, the server is told so once for each Hold, and a new permit starts the
// task.
func TestHold(t *testing.T) {
	for name, permitted := range map[string]bool{"permitted, waiting for a lock": true, "not permitted": false} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				b.permit(b.block(10*time.Second, "ble"))
				synctest.Wait()
				task := b.task("j", "restart")
				b.dispatch(task)
				if permitted {
					b.permit(task)
				}
				synctest.Wait()
				b.runner.Hold(task.GetKey(), "the job was paused")
				pass(30 * time.Minute)
				if want := []string{"HELD j/1 "}; !slices.Equal(b.server.requests, want) {
					t.Errorf("permit requests are %q, want %q: the server waits for the answer to its Hold", b.server.requests, want)
				}
				if want := "LOCK j/1 ble, held by job block-ble"; permitted != slices.Contains(b.server.blocked, want) {
					t.Errorf("the server was told %q; permitted %v, it must know of the lock as soon as it is met", b.server.blocked, permitted)
				}
				if slices.Contains(b.server.started, "j/1") {
					t.Error("the task was started although its permit was taken back")
				}
				if open, err := b.runner.OpenTasks(); err != nil || !slices.ContainsFunc(open, acceptedAs("j")) {
					t.Errorf("open tasks are %v, %v; want the task still accepted", open, err)
				}
				b.permit(task)
				b.wantStatus(b.result(task), succeeded)
			})
		})
	}
}

func acceptedAs(job string) func(*agentv1.OpenTask) bool {
	return func(o *agentv1.OpenTask) bool {
		return o.GetKey().GetJobId() == job && o.GetState() == agentv1.TaskState_TASK_STATE_ACCEPTED
	}
}

// startingJournal calls back in the middle of the record that a task starts, before or after it is on disk.
type startingJournal struct {
	Journal
	before, after func()
}

func (j startingJournal) Start(k *agentv1.TaskKey, at time.Time, boot string) error {
	j.before()
	defer j.after()
	return j.Journal.Start(k, at, boot)
}

// TestHoldOfWhatStarts: a Hold that comes while the start is being journalled, just before it or just after, changes nothing
// and is not answered: Started is what the server hears.
func TestHoldOfWhatStarts(t *testing.T) {
	for _, order := range []string{"before the record", "after the record"} {
		t.Run(order, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				task := b.task("j", "restart")
				hold := func() { b.runner.Hold(task.GetKey(), "too late") }
				j := startingJournal{b.journal, func() {}, func() {}}
				if order == "before the record" {
					j.before = hold
				} else {
					j.after = hold
				}
				b.journal = j
				b.start()
				b.wantStatus(b.do(task), succeeded)
				if len(b.server.requests) != 0 || len(b.server.started) != 1 {
					t.Errorf("permit requests %q, started %q; want the one start and no request: a task has one way", b.server.requests, b.server.started)
				}
				b.runner.Hold(task.GetKey(), "it has ended")
				b.runner.Hold(&agentv1.TaskKey{JobId: "nobody's", Attempt: 1}, "")
				if len(b.server.requests) != 0 {
					t.Errorf("permit requests are %q, want none for a task that has ended or that is not here", b.server.requests)
				}
				if err := b.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestHoldRacesStart: whichever comes first, the task either starts or is held, never both, never neither.
func TestHoldRacesStart(t *testing.T) {
	for range 20 {
		inBench(t, func(b *bench) {
			task := b.task("j", "restart")
			b.dispatch(task)
			go b.runner.Hold(task.GetKey(), "race")
			b.permit(task)
			pass(10 * time.Minute)
			started, held := len(b.server.started), len(b.server.requests)
			// A Hold before the permit is answered too, and the permit then counts.
			if started != 1 && (started != 0 || held != 1) {
				t.Errorf("started %d times with the requests %q, want started once, or held once", started, b.server.requests)
			}
		})
	}
}

// TestApprovedPlugin: a task that was approved for one plugin is not run by another, neither when it comes, nor when it starts,
// nor when it is taken up after a crash.
func TestApprovedPlugin(t *testing.T) {
	approved := func(b *bench) *agentv1.Task {
		task := b.task("j", "restart")
		task.PluginSha256 = b.plugins["restart"].SHA256()
		return task
	}
	wantRefused := func(t *testing.T, b *bench, res *actionv1.TaskResult) {
		t.Helper()
		b.wantStatus(res, refusedStatus)
		if !strings.Contains(res.GetReason(), "00ff") || !strings.Contains(res.GetReason(), "beef") || res.GetNextStep() == "" {
			t.Errorf("reason %q, next step %q; want both hashes and what to do", res.GetReason(), res.GetNextStep())
		}
		if len(b.machine.Calls()) > 0 || b.plugins["restart"].launched > 0 {
			t.Errorf("the machine was told to %v, the plugin was launched %d times; want neither", b.machine.Calls(), b.plugins["restart"].launched)
		}
	}
	t.Run("the approved one", func(t *testing.T) {
		inBench(t, func(b *bench) { b.wantStatus(b.do(approved(b)), succeeded) })
	})
	t.Run("another when it comes", func(t *testing.T) {
		inBench(t, func(b *bench) {
			task := approved(b)
			task.PluginSha256 = strings.Repeat("beef", 16)
			b.dispatch(task)
			res := b.result(task)
			wantRefused(t, b, res)
			if !strings.Contains(res.GetReason(), "for beefbeefbeef") || strings.Contains(res.GetReason(), strings.Repeat("beef", 4)) {
				t.Errorf("reason is %q, want the approved hash, shortened", res.GetReason())
			}
		})
	})
	t.Run("another when it starts", func(t *testing.T) {
		inBench(t, func(b *bench) {
			task := approved(b)
			b.dispatch(task)
			b.plugins["restart"].sha256 = "beef"
			b.permit(task)
			wantRefused(t, b, b.result(task))
		})
	})
	t.Run("another after a crash", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.plugins["restart"].action.Repeatability = actionv1.Repeatability_REPEATABILITY_REPEATABLE
			task := approved(b)
			b.live(&life{left: stepsUntil(t, "outcome stop", nil), after: true}, task)
			applied := b.plugins["restart"].launched
			b.plugins["restart"].sha256 = "beef"
			b.start()
			res := b.result(task)
			b.wantStatus(res, failedStatus)
			if b.plugins["restart"].launched != applied || !strings.Contains(res.GetReason(), "approved for 00ff") {
				t.Errorf("launched again with the result %v, want it put back and not run by another plugin", res)
			}
			b.wantRunning()
			if err := b.stop(); err != nil {
				t.Error(err)
			}
		})
	})
}
