package runner

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// TestRecoveredResults: what a crash at one point means for each kind of action.
func TestRecoveredResults(t *testing.T) {
	for name, tc := range map[string]struct {
		repeatability actionv1.Repeatability
		arrange       func(task *agentv1.Task, p *fakePlugin)
		// at is the step after which the agent dies, and change what happens while it is dead.
		at      string
		change  func(b *bench)
		want    actionv1.TaskStatus
		applies int
		// effect is what the record of the first effect says.
		effect string
		// boot is the boot id if it is not the usual one.
		boot *string
	}{
		"probe between stop and start":         {at: "outcome stop", want: succeeded, applies: 1},
		"probe in the stop":                    {at: "STOP", want: succeeded, applies: 1},
		"probe before the stop":                {at: "intent stop", want: failedStatus, applies: 1, effect: "before it was done"},
		"probe before anything":                {at: "plan", want: failedStatus},
		"probe while it verifies":              {at: "enter verify", want: succeeded, applies: 1},
		"repeatable between stop and start":    {repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE, at: "outcome stop", want: succeeded, applies: 2},
		"repeatable before anything":           {repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE, at: "plan", want: succeeded, applies: 1},
		"one-shot between stop and start":      {repeatability: actionv1.Repeatability_REPEATABILITY_ONE_SHOT, at: "outcome stop", want: unknownStatus, applies: 1},
		"one-shot before anything":             {repeatability: actionv1.Repeatability_REPEATABILITY_ONE_SHOT, at: "plan", want: failedStatus},
		"started by hand while the agent died": {at: "STOP", change: func(b *bench) { b.machine.StartNow(service) }, want: succeeded, applies: 1},
		"disabled while the agent was dead": {
			at: "outcome stop", change: func(b *bench) { b.machine.Install(service, hosttest.Script{Disabled: true}) }, want: conflict, applies: 1,
		},
		"machine started again":         {at: "outcome stop", change: func(b *bench) { b.boot = "boot-2"; b.machine.Reboot() }, want: succeeded, applies: 1},
		"machine started in the middle": {at: "intent stop", change: func(b *bench) { b.boot = "boot-2"; b.machine.Reboot() }, want: succeeded, applies: 1, effect: "machine was started again"},
		"machine started in the middle, boots cannot be told apart": {
			boot: new(string), at: "intent stop", change: func(b *bench) { b.machine.Reboot() }, want: succeeded, applies: 1, effect: "machine was started again",
		},
		"machine started, service stays down for a while": {
			at: "outcome stop", want: succeeded, applies: 1,
			change: func(b *bench) {
				b.boot = "boot-2"
				time.AfterFunc(time.Minute, func() { b.machine.StartNow(service) })
			},
		},
		"plugin was taken away": {at: "outcome stop", change: func(b *bench) { delete(b.plugins, "restart") }, want: unknownStatus, applies: 1},
		"plugin does not launch any more": {
			at: "outcome stop", change: func(b *bench) { b.plugins["restart"].launchErr = errDied }, want: unknownStatus, applies: 1,
		},
		"nobody knows about the stop, and it does not hold": {
			at: "intent stop", want: unknownStatus, applies: 1, effect: "neither as before nor as wanted",
			change: func(b *bench) {
				b.machine.Crash(service, 1)
				b.machine.Install(service, hosttest.Script{DieAfter: 5 * time.Second})
				b.machine.StartNow(service)
			},
		},
		"dry run": {
			at: "plan", arrange: func(task *agentv1.Task, _ *fakePlugin) { task.DryRun = true }, want: succeeded,
		},
		"action that only reads": {
			repeatability: actionv1.Repeatability_REPEATABILITY_ONE_SHOT, at: "enter verify", want: succeeded, applies: 2,
			arrange: func(_ *agentv1.Task, p *fakePlugin) {
				p.action.ReadOnly = true
				p.plan = ask(query(serviceQuery(service)), ready())
				p.apply = ask(query(serviceQuery(service)), finishApplied(true, ""))
			},
		},
		"nothing was to be done": {
			at: "enter verify", want: noChange,
			arrange: func(_ *agentv1.Task, p *fakePlugin) {
				p.plan = ask(query(serviceQuery(service)), finishPlan(&actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_NO_CHANGE}))
			},
		},
		"repeatable, but too late": {
			repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE, at: "outcome stop",
			change: func(*bench) { time.Sleep(2 * time.Hour) }, want: failedStatus, applies: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				p := b.plugins["restart"]
				if tc.boot != nil {
					b.boot = *tc.boot
				}
				if tc.repeatability != 0 {
					p.action.Repeatability = tc.repeatability
				}
				task := b.task("j", "restart")
				if tc.arrange != nil {
					tc.arrange(task, p)
				}
				b.live(&life{left: stepsUntil(t, tc.at, tc.arrange), after: true}, task)
				if res := b.server.results["j/1"]; res != nil {
					t.Fatalf("there is a result %v before the recovery", res)
				}
				if tc.change != nil {
					tc.change(b)
				}
				b.start()
				res := b.result(task)
				b.wantStatus(res, tc.want)
				if !res.GetRecovered() {
					t.Error("the result does not say that the agent was restarted")
				}
				if n := p.begun(actionv1.Phase_PHASE_APPLY); n != tc.applies {
					t.Errorf("it was applied %d times, want %d", n, tc.applies)
				}
				if tc.effect != "" && !strings.Contains(res.GetEffects()[0].GetError(), tc.effect) {
					t.Errorf("the record of the first effect says %q, want %q", res.GetEffects()[0].GetError(), tc.effect)
				}
				if tc.want != conflict {
					b.wantRunning()
				}
				if err := b.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestServicesThatBootSlowly: after a start of the machine an interrupted task waits for its services, and nobody else does:
// the agent is ready for the server at once, and only who needs the same lock waits.
func TestServicesThatBootSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		other := newRestarter()
		other.action.Name, other.action.Resources = "look", []string{"other"}
		other.plan = func(context.Context, *actionv1.Start, Calls) (*actionv1.Finish, error) {
			return finishPlan(&actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_REFUSED, Reason: "no"}), nil
		}
		b.plugins["look"] = other
		first, same, apart := b.task("j", "restart"), b.task("same", "restart"), b.task("apart", "look")
		b.live(&life{left: stepsUntil(t, "outcome stop", nil), after: true}, first)
		b.boot = "boot-2"
		b.machine.Reboot()
		time.AfterFunc(time.Minute, func() { b.machine.StartNow(service) })
		begun := time.Now()
		b.start()
		for _, task := range []*agentv1.Task{same, apart} {
			b.dispatch(task)
			b.permit(task)
		}
		b.result(apart)
		if waited := time.Since(begun); waited > time.Second {
			t.Errorf("a task with other locks ended after %s: the whole agent waited for a service", waited)
		}
		// Before the result of the first: right after it, the one that waits may start at once.
		if b.server.count(&b.server.started) != 2 {
			t.Errorf("%v have started, want j once and apart: the one with the same lock waits", b.server.started)
		}
		b.result(first)
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

// stepsUntil counts the steps of an undisturbed run up to and including one.
func stepsUntil(t *testing.T, step string, arrange func(*agentv1.Task, *fakePlugin)) int {
	t.Helper()
	practice := newBench(t)
	task := practice.task("j", "restart")
	if arrange != nil {
		arrange(task, practice.plugins["restart"])
	}
	l := &life{}
	practice.live(l, task)
	i := slices.Index(l.did, step)
	if i < 0 {
		t.Fatalf("a run has the steps %q, none is %q", l.did, step)
	}
	return i + 1
}
