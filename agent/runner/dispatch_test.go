package runner

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWhatMayNotRun: each gets one result at once, which stays the answer, and nothing is started even with a permit.
func TestWhatMayNotRun(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*agentv1.Task)
		want   actionv1.TaskStatus
		reason string
	}{
		"unknown action":         {func(t *agentv1.Task) { t.Action = "format-disk" }, refusedStatus, "not offered"},
		"unknown parameter":      {func(t *agentv1.Task) { t.Params = map[string]string{"wait": "1s"} }, refusedStatus, "not known"},
		"parameter out of range": {func(t *agentv1.Task) { t.Params = map[string]string{"stop_timeout": "61s"} }, refusedStatus, "5s to 60s"},
		"negative parameter":     {func(t *agentv1.Task) { t.Params = map[string]string{"stop_timeout": "-1s"} }, refusedStatus, "5s to 60s"},
		"parameter of no type":   {func(t *agentv1.Task) { t.Params = map[string]string{"stop_timeout": "abc"} }, refusedStatus, "duration"},
		"too late":               {func(t *agentv1.Task) { t.Expires = timestamppb.New(time.Now()) }, expiredStatus, "time was over"},
		"no expiry":              {func(t *agentv1.Task) { t.Expires = nil }, refusedStatus, "no expiry"},
		"older epoch":            {func(t *agentv1.Task) { t.Epoch = 4 }, refusedStatus, "epoch 4"},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				if err := b.runner.SetEpoch(5); err != nil {
					t.Fatal(err)
				}
				task := b.task("j", "restart")
				task.Epoch = 5
				tc.change(task)
				res := b.do(task)
				b.wantStatus(res, tc.want)
				if !strings.Contains(res.GetReason(), tc.reason) {
					t.Errorf("reason is %q, want one with %q", res.GetReason(), tc.reason)
				}
				b.dispatchPermitted(task)
				b.permit(task)
				time.Sleep(time.Minute)
				if n := b.server.delivered["j/1"]; n != 2 {
					t.Errorf("the result was reported %d times for two deliveries, want twice", n)
				}
				if len(b.server.started) > 0 || b.plugins["restart"].launched > 0 || len(b.machine.Calls()) > 0 {
					t.Error("something was started")
				}
			})
		})
	}
}

func TestRoleOfTheTerminal(t *testing.T) {
	inBench(t, func(b *bench) {
		b.runner.SetTerminal(&actionv1.Terminal{Role: "nes-host"})
		res := b.do(b.task("j", "restart"))
		b.wantStatus(res, refusedStatus)
		if !strings.Contains(res.GetReason(), "nes-host") {
			t.Errorf("reason is %q, want it to name the role", res.GetReason())
		}
	})
}

func TestATaskWithoutAKeyIsNotTakenIn(t *testing.T) {
	inBench(t, func(b *bench) {
		if err := b.runner.Dispatch(b.t.Context(), &agentv1.Dispatch{Task: b.task("", "restart")}); err == nil {
			t.Error("no error for a task that no result could name")
		}
	})
}

// TestRepeatedDelivery: a task is run once however often it comes, and what it is answered tells how far it is.
func TestRepeatedDelivery(t *testing.T) {
	inBench(t, func(b *bench) {
		task := b.task("j", "restart")
		b.dispatch(task)
		changed := proto.CloneOf(task)
		changed.DryRun = true
		b.dispatch(changed)
		if got := b.server.count(&b.server.accepted); got != 2 {
			t.Errorf("accepted was reported %d times for two deliveries, want twice", got)
		}
		b.permit(task)
		b.server.until(time.Minute, func() bool { return len(b.server.started) == 1 })
		b.dispatch(task)
		if got := b.server.count(&b.server.accepted); got != 2 {
			t.Errorf("accepted was reported again for a task that runs")
		}
		b.wantStatus(b.result(task), succeeded)
		if calls := verbs(b.machine); !slices.Equal(calls, []string{"stop", "start"}) {
			t.Errorf("the machine was told to %v: the first delivery is the one that counts", calls)
		}
		b.runner.Acknowledge(task.GetKey())
		if open, err := b.runner.OpenTasks(); err != nil || len(open) != 0 {
			t.Errorf("open tasks are %v after the acknowledgement, want none", open)
		}
		b.dispatch(task)
		b.permit(task)
		time.Sleep(time.Minute)
		if b.server.delivered["j/1"] != 2 || b.plugins["restart"].begun(actionv1.Phase_PHASE_APPLY) != 1 {
			t.Errorf("%d results for a repeated delivery after the end, %d runs; want the result again and one run",
				b.server.delivered["j/1"], b.plugins["restart"].begun(actionv1.Phase_PHASE_APPLY))
		}
	})
}

func TestUnacknowledgedResultsAreKept(t *testing.T) {
	inBench(t, func(b *bench) {
		task := b.task("j", "restart")
		res := b.do(task)
		b.restart()
		kept, err := b.runner.Unacknowledged()
		if err != nil {
			t.Fatal(err)
		}
		if len(kept) != 1 || !proto.Equal(kept[0].GetResult(), res) {
			t.Fatalf("kept results are %v, want the one that was reported", kept)
		}
		if open, err := b.runner.OpenTasks(); err != nil || len(open) != 1 || open[0].GetState() != agentv1.TaskState_TASK_STATE_FINISHED {
			t.Errorf("open tasks are %v, want one that is finished", open)
		}
		b.runner.Acknowledge(task.GetKey())
		if kept, err := b.runner.Unacknowledged(); err != nil || len(kept) != 0 {
			t.Errorf("kept results are %v after the acknowledgement, want none", kept)
		}
	})
}

func TestNothingStartsWithoutAPermit(t *testing.T) {
	for name, permit := range map[string]func(b *bench, task *agentv1.Task){
		"none":    func(*bench, *agentv1.Task) {},
		"no time": func(b *bench, task *agentv1.Task) { b.runner.Permit(&agentv1.Permit{Key: task.GetKey()}) },
		"for another attempt": func(b *bench, _ *agentv1.Task) {
			b.runner.Permit(&agentv1.Permit{Key: &agentv1.TaskKey{JobId: "j", Attempt: 2}, ValidFor: durationpb.New(time.Minute)})
		},
		"after the session": func(b *bench, task *agentv1.Task) { b.runner.SessionEnded(); b.permit(task) },
		"from an earlier session": func(b *bench, task *agentv1.Task) {
			b.permit(b.block(10*time.Second, "ble")) // holds the lock beyond the session, but not beyond the permit
			synctest.Wait()
			b.permit(task)
			b.runner.SessionEnded()
			b.runner.SessionStarted()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				task := b.task("j", "restart")
				b.dispatch(task)
				permit(b, task)
				time.Sleep(30 * time.Minute)
				if slices.Contains(b.server.started, "j/1") {
					t.Error("the task was started without a valid permit")
				}
				b.runner.SessionStarted()
				b.permit(task)
				b.wantStatus(b.result(task), succeeded)
			})
		})
	}
}

// TestADispatchThatPermits: the task starts at once, and what is reported of it next stands for Accepted.
func TestADispatchThatPermits(t *testing.T) {
	inBench(t, func(b *bench) {
		task := b.task("j", "restart")
		b.dispatchPermitted(task)
		b.wantStatus(b.result(task), succeeded)
		if n := b.server.count(&b.server.accepted); n != 0 || len(b.server.started) != 1 {
			t.Errorf("accepted was reported %d times and started %d times, want started alone: every message is one more for each terminal of a job",
				n, len(b.server.started))
		}
	})
}

// TestADispatchThatPermitsAgain: a repetition permits the task that the journal holds, and starts nothing a second time.
func TestADispatchThatPermitsAgain(t *testing.T) {
	inBench(t, func(b *bench) {
		task := b.task("j", "restart")
		b.dispatch(task)
		synctest.Wait()
		for range 2 {
			b.dispatchPermitted(task)
		}
		b.wantStatus(b.result(task), succeeded)
		b.dispatchPermitted(task)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(b.server.started) != 1 || b.server.delivered["j/1"] != 2 {
			t.Errorf("started %v and reported %d results, want one start, and the result again for the delivery after it",
				b.server.started, b.server.delivered["j/1"])
		}
	})
}

// TestADispatchedPermitIsAPermitLikeAnother: it lapses, and it is void where a Permit would be.
func TestADispatchedPermitIsAPermitLikeAnother(t *testing.T) {
	for name, tc := range map[string]struct {
		hinder func(b *bench)
		// asks is how many permits the agent asks for again.
		asks int
	}{
		"the lock is held beyond it": {func(b *bench) { b.permit(b.block(time.Minute, "ble")) }, 1},
		"without a session":          {func(b *bench) { b.runner.SessionEnded() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				tc.hinder(b)
				synctest.Wait()
				task := b.task("j", "restart")
				b.dispatchPermitted(task)
				time.Sleep(30 * time.Minute)
				synctest.Wait()
				if slices.Contains(b.server.started, "j/1") || len(b.server.requests) != tc.asks {
					t.Errorf("started %v with requests %q, want it not started and %d requests", b.server.started, b.server.requests, tc.asks)
				}
				b.runner.SessionStarted()
				b.permit(task)
				b.wantStatus(b.result(task), succeeded)
			})
		})
	}
}

// block dispatches a task of another action that holds resources for d.
func (b *bench) block(d time.Duration, resources ...string) *agentv1.Task {
	name := "block-" + strings.Join(resources, "-")
	b.plugins[name] = newBlocker(name, d, resources...)
	task := b.task(name, name)
	b.dispatch(task)
	return task
}

// newBlocker is a plugin that only waits while it plans.
func newBlocker(name string, d time.Duration, resources ...string) *fakePlugin {
	return &fakePlugin{
		action: &actionv1.Action{Name: name, Resources: resources, ReadOnly: true},
		plan: func(ctx context.Context, _ *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
			err := calls.Wait(ctx, d)
			return finishPlan(&actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_REFUSED, Reason: "waited"}), err
		},
	}
}

// TestPermitThatLapses: the lock was not free in time, so the agent asks again and says what it waited for.
func TestPermitThatLapses(t *testing.T) {
	inBench(t, func(b *bench) {
		b.permit(b.block(time.Minute, "ble"))
		task := b.task("j", "restart")
		b.dispatch(task)
		synctest.Wait()
		b.permit(task)
		b.server.until(time.Hour, func() bool { return len(b.server.requests) > 0 })
		if want := "LOCK j/1 ble, held by job block-ble"; len(b.server.requests) != 1 || b.server.requests[0] != want {
			t.Fatalf("permit requests are %q, want %q", b.server.requests, want)
		}
		time.Sleep(time.Hour / 2)
		if slices.Contains(b.server.started, "j/1") || len(b.server.requests) != 1 {
			t.Errorf("started %v with requests %q: a lapsed permit must not start anything, and is asked for once", b.server.started, b.server.requests)
		}
		b.permit(task)
		b.wantStatus(b.result(task), succeeded)
	})
}

func TestExpiryWhileWaiting(t *testing.T) {
	inBench(t, func(b *bench) {
		task := b.task("j", "restart")
		b.dispatch(task)
		began := time.Now()
		b.wantStatus(b.result(task), expiredStatus)
		if took := time.Since(began); took != time.Hour {
			t.Errorf("it expired after %s, want after 1h", took)
		}
	})
}

// TestExpiryIsTheServersTime: the machine's own clock, a year off, does not matter.
func TestExpiryIsTheServersTime(t *testing.T) {
	inBench(t, func(b *bench) {
		server := time.Now().Add(365 * 24 * time.Hour)
		b.runner.SetServerTime(server)
		task := b.task("j", "restart")
		task.Expires = timestamppb.New(server.Add(time.Minute))
		b.wantStatus(b.do(task), succeeded)
		late := b.task("late", "restart") // in an hour of this machine's clock
		b.wantStatus(b.do(late), expiredStatus)
	})
}

func TestCancel(t *testing.T) {
	inBench(t, func(b *bench) {
		task := b.task("j", "restart")
		b.dispatch(task)
		b.runner.Cancel(task.GetKey(), "ada changed her mind")
		res := b.result(task)
		b.wantStatus(res, cancelled)
		if res.GetReason() != "ada changed her mind" {
			t.Errorf("reason is %q, want the one that was given", res.GetReason())
		}
		b.permit(task)
		b.runner.Cancel(task.GetKey(), "again")
		time.Sleep(time.Minute)
		if b.server.delivered["j/1"] != 1 || len(b.machine.Calls()) > 0 {
			t.Errorf("%d results, machine was told to %v; want one result and nothing done", b.server.delivered["j/1"], b.machine.Calls())
		}
	})
}

// TestCancelAfterStart: the task goes on to its end, because a half-done one is worse.
func TestCancelAfterStart(t *testing.T) {
	inBench(t, func(b *bench) {
		task := b.task("j", "restart")
		b.dispatch(task)
		b.permit(task)
		b.server.until(time.Minute, func() bool { return len(b.server.started) == 1 })
		b.runner.Cancel(task.GetKey(), "too late")
		b.wantStatus(b.result(task), succeeded)
	})
}

// TestCancelRacesStart: whichever comes first, there is one result and it is true.
func TestCancelRacesStart(t *testing.T) {
	for range 20 {
		inBench(t, func(b *bench) {
			task := b.task("j", "restart")
			b.dispatch(task)
			go b.runner.Cancel(task.GetKey(), "race")
			b.permit(task)
			res := b.result(task)
			time.Sleep(time.Minute)
			did := len(b.machine.Calls()) > 0
			if b.server.delivered["j/1"] != 1 || did != (res.GetStatus() == succeeded) || !did != (res.GetStatus() == cancelled) {
				t.Errorf("%d results, %s, something was done: %v", b.server.delivered["j/1"], res.GetStatus(), did)
			}
		})
	}
}

// TestEndingAgentBeginsNothing: a task that was about to start when the agent was told to end has not started.
func TestEndingAgentBeginsNothing(t *testing.T) {
	inBench(t, func(b *bench) {
		task := b.task("j", "restart")
		b.dispatch(task)
		ended, end := context.WithCancel(b.t.Context())
		end()
		b.runner.begin(ended, task)
		if open, err := b.runner.OpenTasks(); err != nil || len(open) != 1 || open[0].GetState() != agentv1.TaskState_TASK_STATE_ACCEPTED {
			b.t.Errorf("open tasks are %v, want one that is accepted", open)
		}
		if calls := b.machine.Calls(); len(calls) != 0 {
			b.t.Errorf("the machine was touched: %v", calls)
		}
	})
}
