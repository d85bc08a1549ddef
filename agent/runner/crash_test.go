package runner

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// crashCase is an action on a machine, with what may come of it whatever crash happens.
type crashCase struct {
	arrange func(b *bench)
	params  map[string]string
	// may lists the statuses that are true whatever happens.
	may []actionv1.TaskStatus
	// runs is how often it may begin to apply.
	runs int
	// hangs says that the service may stay between running and stopped for ever; the agent must then still be at it.
	hangs bool
	// untouched says that nothing may be done to the machine at all.
	untouched bool
	// twice has the agent die in the recovery too.
	twice bool
	// ends looks at the machine in the end.
	ends func(b *bench, res *actionv1.TaskResult)
}

func crashCases() map[string]crashCase {
	repeatability := func(r actionv1.Repeatability) func(b *bench) {
		return func(b *bench) { b.plugins["restart"].action.Repeatability = r }
	}
	slow := hosttest.Script{StopDelay: 2 * time.Second, StartDelay: 2 * time.Second}
	return map[string]crashCase{
		"probe":      {may: []actionv1.TaskStatus{succeeded, failedStatus}, runs: 1, twice: true},
		"repeatable": {arrange: repeatability(actionv1.Repeatability_REPEATABILITY_REPEATABLE), may: []actionv1.TaskStatus{succeeded}, runs: 3, twice: true},
		"one-shot": {
			arrange: repeatability(actionv1.Repeatability_REPEATABILITY_ONE_SHOT),
			may:     []actionv1.TaskStatus{succeeded, failedStatus, unknownStatus}, runs: 1,
		},
		"slow service": {arrange: func(b *bench) { b.machine.Install(service, slow) }, may: []actionv1.TaskStatus{succeeded, failedStatus}, runs: 1},
		"fails to start once": {
			arrange: func(b *bench) { b.machine.Install(service, hosttest.Script{FailStarts: 1}) },
			may:     []actionv1.TaskStatus{succeeded, failedStatus, rollbackFailed}, runs: 1,
		},
		"fails to start often": {
			arrange: func(b *bench) { b.machine.Install(service, hosttest.Script{FailStarts: 5}) },
			may:     []actionv1.TaskStatus{succeeded, failedStatus, rollbackFailed}, runs: 1,
		},
		"hangs and is killed": {
			arrange: func(b *bench) { b.machine.Install(service, hosttest.Script{HangsOnStop: true}) },
			params:  map[string]string{"force": "true"}, may: []actionv1.TaskStatus{succeeded, failedStatus, rollbackFailed}, runs: 1, hangs: true, twice: true,
		},
		"asks, repeatable": {
			arrange: asking(actionv1.Repeatability_REPEATABILITY_REPEATABLE, &agentv1.Answer{Confirmed: true, By: "ada"}),
			may:     []actionv1.TaskStatus{succeeded}, runs: 3, twice: true,
		},
		"asks, probe": {
			arrange: asking(actionv1.Repeatability_REPEATABILITY_PROBE, &agentv1.Answer{Confirmed: true, By: "ada"}),
			may:     []actionv1.TaskStatus{succeeded, failedStatus}, runs: 1,
		},
		"asks, one-shot": {
			arrange: asking(actionv1.Repeatability_REPEATABILITY_ONE_SHOT, &agentv1.Answer{Confirmed: true, By: "ada"}),
			may:     []actionv1.TaskStatus{succeeded, failedStatus, unknownStatus}, runs: 1,
		},
		"asks and is told no": {
			arrange: asking(actionv1.Repeatability_REPEATABILITY_REPEATABLE, &agentv1.Answer{By: "ada"}),
			may:     []actionv1.TaskStatus{failedStatus}, runs: 3, untouched: true,
		},
		"asks and nobody answers": {
			arrange: asking(actionv1.Repeatability_REPEATABILITY_REPEATABLE, nil),
			may:     []actionv1.TaskStatus{failedStatus}, runs: 3, untouched: true,
		},
		"changes, probe": {
			arrange: changing(actionv1.Repeatability_REPEATABILITY_PROBE, true), may: []actionv1.TaskStatus{succeeded, failedStatus, rolledBack}, runs: 1,
			ends: wantAllOrNothing,
		},
		"changes, repeatable": {
			arrange: changing(actionv1.Repeatability_REPEATABILITY_REPEATABLE, true), may: []actionv1.TaskStatus{succeeded}, runs: 3, ends: wantAllOrNothing,
		},
		"one change, repeatable": {
			arrange: func(b *bench) {
				b.machine.SetFile(host.EndpointRoot, "nbe.toml", oldConfig)
				b.plugins["restart"] = newChanger(b, func() {}, tapEffect())
				b.plugins["restart"].action.Repeatability = actionv1.Repeatability_REPEATABILITY_REPEATABLE
			},
			may: []actionv1.TaskStatus{succeeded}, runs: 3, twice: true, ends: func(b *bench, _ *actionv1.TaskResult) { b.wantFile("nbe.toml", newConfig) },
		},
		"changes, one-shot": {
			arrange: changing(actionv1.Repeatability_REPEATABILITY_ONE_SHOT, true),
			may:     []actionv1.TaskStatus{succeeded, failedStatus, unknownStatus, rolledBack}, runs: 1, ends: wantAllOrNothing,
		},
		"changes that do not help": {
			arrange: changing(actionv1.Repeatability_REPEATABILITY_PROBE, false), may: []actionv1.TaskStatus{failedStatus, rolledBack}, runs: 1,
			twice: true, ends: wantAllOrNothing,
		},
		"a lease": {
			arrange: func(b *bench) {
				b.machine.SetFile(host.EndpointRoot, "nbe.toml", oldConfig)
				b.plugins["restart"] = newChanger(b, func() {}, leased(tapEffect(), 5*time.Minute))
			},
			may: []actionv1.TaskStatus{succeeded, failedStatus, rolledBack}, runs: 1, twice: true, ends: wantNoLease,
		},
	}
}

// wantNoLease wants the change of a lease put back, whose time is over by the end of the test, and the service that runs with it to run.
func wantNoLease(b *bench, res *actionv1.TaskResult) {
	b.t.Helper()
	b.wantFile("nbe.toml", oldConfig)
	b.wantLeases(0)
	if (res.GetStatus() == succeeded) != (len(res.GetLeases()) == 1) {
		b.t.Errorf("a result that is %s has the leases %v, want one exactly when it has succeeded", res.GetStatus(), res.GetLeases())
	}
	if b.machine.PID(host.AgentService) == 0 {
		b.t.Error("the Nymi Agent does not run: the end of the lease has left it stopped")
	}
	if left, err := os.ReadDir(filepath.Join(filepath.Dir(b.path), "kept")); err != nil || len(left) != 0 {
		b.t.Errorf("earlier files %v are kept (%v), want none when nobody can need them", left, err)
	}
}

// changing has the action be one with an effect of each exact kind around a restart.
func changing(r actionv1.Repeatability, helps bool) func(b *bench) {
	return func(b *bench) {
		b.machine.SetFile(host.EndpointRoot, "nbe.toml", oldConfig)
		b.machine.SetFile(host.EndpointRoot, "old.log", "gone")
		p := newChanger(b, func() {}, stopEffect(service), copyEffect("nbe.toml", "nbe.bak", oldConfig), tapEffect(),
			registryEffect(nil, new("https://nes/")), removeEffect("old.log", "gone"), startEffect(service))
		p.action.Repeatability = r
		if verify := p.verify; !helps {
			p.verify = func(ctx context.Context, start *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
				finish, err := verify(ctx, start, calls)
				finish.GetVerdict().Checks = append(finish.GetVerdict().GetChecks(), &actionv1.Check{Name: "helps", Expected: "yes", Observed: "no"})
				return finish, err
			}
		}
		b.plugins["restart"] = p
	}
}

// wantAllOrNothing wants everything done when the task has succeeded, and everything as before when not.
func wantAllOrNothing(b *bench, res *actionv1.TaskResult) {
	b.t.Helper()
	config, backup, log, value := oldConfig, "(none)", "gone", "(none) below 1 levels"
	if res.GetStatus() == succeeded {
		config, backup, log, value = newConfig, oldConfig, "(none)", "https://nes/ below 3 levels"
	}
	b.wantFile("nbe.toml", config)
	b.wantFile("nbe.bak", backup)
	b.wantFile("old.log", log)
	if got := b.value(); got != value {
		b.t.Errorf("the registry value is %s, want %s: the result is %s", got, value, res.GetStatus())
	}
}

// asking has the action be the asking plugin's, and a person answer so.
func asking(r actionv1.Repeatability, with *agentv1.Answer) func(b *bench) {
	return func(b *bench) {
		b.plugins["restart"] = newAsker()
		b.plugins["restart"].action.Repeatability = r
		b.answering(with)
	}
}

// TestCrashAnywhere kills the agent at each of its steps, before and after the step is done, and again at each step of the
// recovery where that may matter. In the end there is one started attempt, one result, and nothing is left stopped.
func TestCrashAnywhere(t *testing.T) {
	for name, tc := range crashCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			points := 0
			for first := 1; ; first++ {
				ended := false
				for _, after := range []bool{false, true} {
					for second := 1; ; second++ {
						points++
						one, two := &life{left: first, after: after}, &life{}
						if tc.twice {
							two.left, two.after = second, after
						}
						crashTwice(t, tc, one, two)
						ended = !one.dead
						if !two.dead || !tc.twice || t.Failed() {
							break
						}
					}
				}
				if ended || t.Failed() {
					break
				}
			}
			if points < 18 && !t.Failed() {
				t.Errorf("only %d points were tried: the steps are not seen", points)
			}
		})
	}
}

func crashTwice(t *testing.T, tc crashCase, one, two *life) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		if tc.arrange != nil {
			tc.arrange(b)
		}
		task := b.task("j", "restart")
		task.Params = tc.params
		task.Expires.Seconds += 24 * 3600
		last := &life{}
		for _, l := range []*life{one, two, last} {
			b.live(l, task)
		}
		b.checkCrash(tc)
		if t.Failed() {
			t.Logf("first life: %v\nsecond life: %v\nlast life: %v", one.did, two.did, last.did)
		}
	})
}

func (b *bench) checkCrash(tc crashCase) {
	b.t.Helper()
	recs, err := b.journal.OpenTasks()
	if err != nil || len(recs) != 1 || recs[0].GetState() != agentv1.TaskState_TASK_STATE_FINISHED {
		b.t.Fatalf("the journal has %v, %v; want one finished task", recs, err)
	}
	res := recs[0].GetResult()
	if !slices.Contains(tc.may, res.GetStatus()) {
		b.t.Errorf("status is %s (%s), want one of %v", res.GetStatus(), res.GetReason(), tc.may)
	}
	if told := b.server.results["j/1"]; !proto.Equal(told, res) {
		b.t.Errorf("the server was told %v, the journal has %v", told, res)
	}
	if n := b.plugins["restart"].begun(actionv1.Phase_PHASE_APPLY); n > tc.runs {
		b.t.Errorf("it was applied %d times, want at most %d", n, tc.runs)
	}
	if n := len(b.server.started); n > 1 {
		b.t.Errorf("started was reported %d times, want at most once", n)
	}
	if res.GetRuns() > maxRuns || res.GetRuns() == 0 {
		b.t.Errorf("it has %d runs, want 1 to %d", res.GetRuns(), maxRuns)
	}
	if calls := b.machine.Calls(); tc.untouched && len(calls) > 0 {
		b.t.Errorf("the machine was told to %v although nobody confirmed", calls)
	}
	if tc.ends != nil {
		tc.ends(b, res)
	}
	left, err := b.journal.Obligations()
	if err != nil {
		b.t.Fatal(err)
	}
	if tc.hangs && len(left) == 1 && b.machine.PID(service) != 0 {
		return
	}
	if len(left) > 0 {
		b.t.Errorf("obligations %v are left although there was time for them", left)
	}
	b.wantRunning()
}

// TestRunsAreBounded: an agent that dies in each run gives up after the third.
func TestRunsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		p := b.plugins["restart"]
		p.action.Repeatability = actionv1.Repeatability_REPEATABILITY_REPEATABLE
		task := b.task("j", "restart")
		task.Expires.Seconds += 24 * 3600
		for range 5 {
			l := &life{}
			p.apply = func(ctx context.Context, start *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
				finish, err := applyRestart(ctx, start, calls)
				l.mu.Lock()
				l.dead = true
				l.mu.Unlock()
				return finish, err
			}
			b.live(l, task)
		}
		res := b.server.results["j/1"]
		b.wantStatus(res, failedStatus)
		if n := p.begun(actionv1.Phase_PHASE_APPLY); n != maxRuns || res.GetRuns() != maxRuns {
			t.Errorf("it was applied %d times, the result says %d; want %d", n, res.GetRuns(), maxRuns)
		}
		b.wantRunning()
	})
}
