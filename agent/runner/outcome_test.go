package runner

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	succeeded      = actionv1.TaskStatus_TASK_STATUS_SUCCEEDED
	noChange       = actionv1.TaskStatus_TASK_STATUS_NO_CHANGE
	failedStatus   = actionv1.TaskStatus_TASK_STATUS_FAILED
	rollbackFailed = actionv1.TaskStatus_TASK_STATUS_ROLLBACK_FAILED
	refusedStatus  = actionv1.TaskStatus_TASK_STATUS_REFUSED
	conflict       = actionv1.TaskStatus_TASK_STATUS_CONFLICT
	unknownStatus  = actionv1.TaskStatus_TASK_STATUS_UNKNOWN
	expiredStatus  = actionv1.TaskStatus_TASK_STATUS_EXPIRED
	cancelled      = actionv1.TaskStatus_TASK_STATUS_CANCELLED
)

// TestOutcomes tells, for each way in which a machine or a plugin can behave, what the result says and that the service runs
// in the end where it can.
func TestOutcomes(t *testing.T) {
	for name, tc := range map[string]struct {
		arrange func(b *bench, p *fakePlugin)
		params  map[string]string
		dry     bool
		want    actionv1.TaskStatus
		reason  string
		undo    actionv1.UndoOutcome
		// calls is what was done to the machine; nil when it does not matter.
		calls []string
		// down is true when the service cannot be running in the end.
		down bool
	}{
		"healthy service": {want: succeeded, calls: []string{"stop", "start"}},
		"dry run":         {dry: true, want: succeeded, calls: []string{}},
		"service is not installed": {
			arrange: func(b *bench, _ *fakePlugin) { b.machine.Uninstall(service) },
			want:    refusedStatus, reason: "not installed", calls: []string{}, down: true,
		},
		"dry run of a refusal": {
			arrange: func(b *bench, _ *fakePlugin) { b.machine.Uninstall(service) }, dry: true,
			want: refusedStatus, calls: []string{}, down: true,
		},
		"hangs on stop, with force": {
			arrange: func(b *bench, _ *fakePlugin) { b.machine.Install(service, hosttest.Script{HangsOnStop: true}) },
			params:  map[string]string{"force": "true"}, want: succeeded, calls: []string{"stop", "kill", "start"},
		},
		"hangs on stop": {
			arrange: func(b *bench, _ *fakePlugin) { b.machine.Install(service, hosttest.Script{HangsOnStop: true}) },
			want:    rollbackFailed, reason: "does not stop", undo: actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION, down: true,
		},
		"stops late": {
			arrange: func(b *bench, _ *fakePlugin) {
				b.machine.Install(service, hosttest.Script{StopDelay: 20 * time.Second})
			},
			want: failedStatus, reason: "does not stop", undo: actionv1.UndoOutcome_UNDO_OUTCOME_DONE,
		},
		"fails to start once": {
			arrange: func(b *bench, _ *fakePlugin) { b.machine.Install(service, hosttest.Script{FailStarts: 1}) },
			want:    failedStatus, reason: "does not start", undo: actionv1.UndoOutcome_UNDO_OUTCOME_DONE, calls: []string{"stop", "start", "start"},
		},
		"never starts": {
			arrange: func(b *bench, _ *fakePlugin) { b.machine.Install(service, hosttest.Script{FailStarts: -1}) },
			want:    rollbackFailed, reason: "does not start", undo: actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION, down: true,
		},
		"dies in its settling time": {
			arrange: func(b *bench, _ *fakePlugin) { b.machine.Install(service, hosttest.Script{DieAfter: 5 * time.Second}) },
			want:    failedStatus, reason: "stable", undo: actionv1.UndoOutcome_UNDO_OUTCOME_DONE,
		},
		"was stopped and does not start": {
			arrange: func(b *bench, _ *fakePlugin) {
				b.machine.StopNow(service)
				b.machine.Install(service, hosttest.Script{FailStarts: -1})
			},
			want: failedStatus, undo: actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED, down: true,
		},
		"disabled meanwhile": {
			arrange: func(b *bench, p *fakePlugin) {
				p.apply = func(ctx context.Context, _ *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
					_, err := calls.Effect(ctx, &actionv1.EffectRequest{PlanId: "stop", Effect: stopEffect(service)})
					b.machine.Install(service, hosttest.Script{Disabled: true})
					return finishApplied(false, "somebody is at it"), err
				}
			},
			want: conflict, reason: "somebody is at it", undo: actionv1.UndoOutcome_UNDO_OUTCOME_CONFLICT, down: true,
		},
		"started by somebody meanwhile": {
			arrange: func(b *bench, p *fakePlugin) {
				p.apply = func(ctx context.Context, _ *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
					_, err := calls.Effect(ctx, &actionv1.EffectRequest{PlanId: "stop", Effect: stopEffect(service)})
					b.machine.StartNow(service)
					return finishApplied(false, "somebody is at it"), err
				}
			},
			want: failedStatus, undo: actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED, calls: []string{"stop"},
		},
		"says success and leaves it stopped": {
			arrange: func(_ *bench, p *fakePlugin) {
				p.apply = func(ctx context.Context, _ *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
					_, err := calls.Effect(ctx, &actionv1.EffectRequest{PlanId: "stop", Effect: stopEffect(service)})
					return finishApplied(true, ""), err
				}
				p.verify = func(context.Context, *actionv1.Start, Calls) (*actionv1.Finish, error) {
					return finishVerdict(&actionv1.Check{Name: "all is well", Ok: true}), nil
				}
			},
			want: failedStatus, reason: "ran before and is stopped now", undo: actionv1.UndoOutcome_UNDO_OUTCOME_DONE,
		},
		"verifies nothing": {
			arrange: func(_ *bench, p *fakePlugin) {
				p.verify = func(context.Context, *actionv1.Start, Calls) (*actionv1.Finish, error) { return finishVerdict(), nil }
			},
			want: failedStatus, reason: "verified nothing", undo: actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED,
		},
		"nothing to do": {
			arrange: func(_ *bench, p *fakePlugin) {
				p.plan = func(context.Context, *actionv1.Start, Calls) (*actionv1.Finish, error) {
					return finishPlan(&actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_NO_CHANGE}), nil
				}
			},
			want: noChange, calls: []string{},
		},
		"nothing to do, but it does not hold": {
			arrange: func(b *bench, p *fakePlugin) {
				p.plan = func(context.Context, *actionv1.Start, Calls) (*actionv1.Finish, error) {
					return finishPlan(&actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_NO_CHANGE}), nil
				}
				b.machine.StopNow(service)
			},
			want: failedStatus, reason: "stable", calls: []string{}, down: true,
		},
		"dies after its first effect": {
			arrange: func(_ *bench, p *fakePlugin) {
				p.apply = func(ctx context.Context, _ *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
					if _, err := calls.Effect(ctx, &actionv1.EffectRequest{PlanId: "stop", Effect: stopEffect(service)}); err != nil {
						return nil, err
					}
					return nil, errDied
				}
			},
			want: failedStatus, reason: "exit code 2", undo: actionv1.UndoOutcome_UNDO_OUTCOME_DONE, calls: []string{"stop", "start"},
		},
		"panics after its first effect": {
			arrange: func(_ *bench, p *fakePlugin) {
				p.apply = func(ctx context.Context, _ *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
					_, _ = calls.Effect(ctx, &actionv1.EffectRequest{PlanId: "stop", Effect: stopEffect(service)})
					panic("nil map")
				}
			},
			want: failedStatus, reason: "nil map", undo: actionv1.UndoOutcome_UNDO_OUTCOME_DONE,
		},
		"never ends": {
			arrange: func(_ *bench, p *fakePlugin) {
				p.apply = func(ctx context.Context, _ *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
					_, _ = calls.Effect(ctx, &actionv1.EffectRequest{PlanId: "stop", Effect: stopEffect(service)})
					<-ctx.Done()
					return nil, ctx.Err()
				}
			},
			want: failedStatus, reason: "not ended after 5m0s, in the apply phase", undo: actionv1.UndoOutcome_UNDO_OUTCOME_DONE,
		},
		"never ends, in a wait of its own": {
			arrange: func(_ *bench, p *fakePlugin) {
				p.apply = func(_ context.Context, _ *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
					_, _ = calls.Effect(context.Background(), &actionv1.EffectRequest{PlanId: "stop", Effect: stopEffect(service)})
					return nil, calls.Wait(context.Background(), 10*time.Hour)
				}
			},
			want: failedStatus, reason: "not ended after 5m0s", undo: actionv1.UndoOutcome_UNDO_OUTCOME_DONE,
		},
		"deadline in the middle of an effect": {
			arrange: func(b *bench, p *fakePlugin) {
				b.machine.Install(service, hosttest.Script{StopDelay: 9 * time.Second})
				p.action.MaxDuration = durationpb.New(4 * time.Second)
			},
			want: failedStatus, reason: "not ended after 4s", undo: actionv1.UndoOutcome_UNDO_OUTCOME_DONE,
		},
		"does not launch": {
			arrange: func(_ *bench, p *fakePlugin) { p.launchErr = errors.New("no answer after 10s") },
			want:    failedStatus, reason: "did not start: no answer", calls: []string{},
		},
		"is not what was pinned": {
			arrange: func(_ *bench, p *fakePlugin) {
				p.launchErr = &RefusedError{Message: "its SHA-256 is another"}
			},
			want: refusedStatus, reason: "SHA-256", calls: []string{},
		},
		"a host that panics": {
			arrange: func(b *bench, _ *fakePlugin) {
				b.machine.Interpose(func(call string) error {
					if strings.HasPrefix(call, "stop") {
						panic("driver")
					}
					return nil
				})
			},
			want: failedStatus, reason: "does not stop", undo: actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				p := b.plugins["restart"]
				if tc.arrange != nil {
					tc.arrange(b, p)
				}
				task := b.task("j", "restart")
				task.Params, task.DryRun = tc.params, tc.dry
				res := b.do(task)
				b.wantStatus(res, tc.want)
				if !strings.Contains(res.GetReason(), tc.reason) {
					t.Errorf("reason is %q, want one with %q", res.GetReason(), tc.reason)
				}
				if got := undoOf(res); got != tc.undo {
					t.Errorf("undo is %s, want %s", got, tc.undo)
				}
				if calls := verbs(b.machine); tc.calls != nil && !slices.Equal(calls, tc.calls) {
					t.Errorf("the machine was told to %v, want %v", calls, tc.calls)
				}
				if !tc.down {
					b.wantRunning()
				}
				if p.launched != p.closed {
					t.Errorf("%d processes were started and %d closed: one lives on", p.launched, p.closed)
				}
			})
		})
	}
}

func undoOf(res *actionv1.TaskResult) actionv1.UndoOutcome {
	if len(res.GetUndone()) == 0 {
		return actionv1.UndoOutcome_UNDO_OUTCOME_UNSPECIFIED
	}
	return res.GetUndone()[0].GetOutcome()
}

// verbs returns what the machine was told, without the service's name.
func verbs(m *hosttest.Memory) []string {
	verbs := []string{}
	for _, call := range m.Calls() {
		verb, _, _ := strings.Cut(call, " ")
		verbs = append(verbs, verb)
	}
	return verbs
}

func TestResultTellsTheStory(t *testing.T) {
	inBench(t, func(b *bench) {
		b.machine.Install(service, hosttest.Script{StopDelay: 2 * time.Second, StartDelay: 3 * time.Second})
		b.plugins["restart"].output = strings.Repeat("x", maxOutput) + "the end"
		pid := b.machine.PID(service)
		res := b.do(b.task("j", "restart"))
		b.wantStatus(res, succeeded)
		if len(res.GetInterruptions()) != 1 || res.GetInterruptions()[0].GetDuration().AsDuration() != 5*time.Second || res.GetInterruptions()[0].GetOngoing() {
			t.Errorf("interruptions are %v, want one of 5s that is over", res.GetInterruptions())
		}
		if n := len(res.GetEffects()); n != 2 {
			t.Fatalf("%d effects, want stop and start", n)
		}
		stop, start := res.GetEffects()[0], res.GetEffects()[1]
		if stop.GetBefore().GetService().GetPid() != pid || start.GetAfter().GetService().GetPid() != b.machine.PID(service) {
			t.Errorf("effects are %v, want the process ids before (%d) and after (%d)", res.GetEffects(), pid, b.machine.PID(service))
		}
		if len(res.GetChecks()) != 2 || res.GetRuns() != 1 || res.GetRecovered() || res.GetPlugin() != "fake" || res.GetPluginSha256() != "00ff" {
			t.Errorf("result is %v, want two checks, one run, not recovered, with the plugin", res)
		}
		if !res.GetOutputTruncated() || len(res.GetOutput()) > maxOutput || !strings.HasSuffix(res.GetOutput(), "the end") {
			t.Errorf("output of %d bytes, truncated %v; want its last %d bytes", len(res.GetOutput()), res.GetOutputTruncated(), maxOutput)
		}
		if len(b.server.started) != 1 {
			t.Errorf("started was reported %d times, want once", len(b.server.started))
		}
	})
}

func TestInterruptionOfAServiceThatStaysDown(t *testing.T) {
	inBench(t, func(b *bench) {
		b.machine.Install(service, hosttest.Script{FailStarts: -1})
		res := b.do(b.task("j", "restart"))
		if len(res.GetInterruptions()) != 1 || !res.GetInterruptions()[0].GetOngoing() {
			t.Errorf("interruptions are %v, want one that goes on", res.GetInterruptions())
		}
		if !strings.Contains(res.GetNextStep(), "keeps trying") {
			t.Errorf("next step is %q, want it to say that the agent keeps trying", res.GetNextStep())
		}
	})
}

// TestInterruptionAfterTheDeed: a service that is down after its restart is out of service, be it that its manager starts it
// again by itself, or that it ends when its verification is over.
func TestInterruptionAfterTheDeed(t *testing.T) {
	for name, verify := range map[string]func(b *bench) phaseFunc{
		"starting again by itself": func(b *bench) phaseFunc {
			return func(ctx context.Context, _ *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
				b.machine.Crash(service, 1)
				go func() { _ = b.machine.Host().Services.Start(context.WithoutCancel(ctx), service) }()
				synctest.Wait()
				state, err := calls.Query(ctx, serviceQuery(service))
				return finishVerdict(&actionv1.Check{Name: "runs", Observed: statusName(state.GetService().GetStatus())}), err
			}
		},
		"ended after its verification": func(b *bench) phaseFunc {
			return func(ctx context.Context, start *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
				finish, err := verifyRestart(ctx, start, calls)
				b.machine.Crash(service, 1)
				return finish, err
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				b.machine.Install(service, hosttest.Script{StartDelay: 5 * time.Second})
				b.plugins["restart"].verify = verify(b)
				res := b.do(b.task("j", "restart"))
				b.wantStatus(res, failedStatus)
				var down []time.Duration
				for _, i := range res.GetInterruptions() {
					down = append(down, i.GetDuration().AsDuration().Truncate(time.Second))
				}
				if want := []time.Duration{5 * time.Second, 5 * time.Second}; !slices.Equal(down, want) {
					b.t.Errorf("interruptions are %v, want %v: the restart, and what came after it", down, want)
				}
			})
		})
	}
}
