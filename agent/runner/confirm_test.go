package runner

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

const prompt = "put the band on its charger"

func confirmEffect(prompt string, timeout time.Duration) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_Confirm{Confirm: &actionv1.Confirm{Prompt: prompt, Timeout: durationpb.New(timeout)}}}
}

// newAsker is the restarting plugin, which has a person confirm something before it stops the service.
func newAsker() *fakePlugin {
	p := newRestarter()
	p.action.Name, p.action.MaxDuration = "restart", durationpb.New(2*time.Hour)
	p.action.Capabilities = append(p.action.Capabilities, &actionv1.Capability{Kind: actionv1.CapabilityKind_CAPABILITY_KIND_PERSON_CONFIRM})
	p.plan = planAsker(prompt)
	p.apply = func(ctx context.Context, start *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
		rec, err := calls.Effect(ctx, &actionv1.EffectRequest{PlanId: "ask", Effect: plannedEffect(start.GetPlan(), "ask")})
		switch {
		case err != nil:
			return nil, err
		case rec.GetError() != "":
			return finishApplied(false, rec.GetError()), nil
		}
		return applyRestart(ctx, start, calls)
	}
	p.verify = func(ctx context.Context, start *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
		start.Effects = slices.DeleteFunc(start.GetEffects(), func(e *actionv1.RecordedEffect) bool { return e.GetPlanId() == "ask" })
		return verifyRestart(ctx, start, calls)
	}
	return p
}

func planAsker(prompt string) phaseFunc {
	return func(context.Context, *actionv1.Start, Calls) (*actionv1.Finish, error) {
		return ready(planned("ask", confirmEffect(prompt, 10*time.Minute)), planned("stop", stopEffect(service)), planned("start", startEffect(service))), nil
	}
}

// inAskingBench is inBench with the asking plugin.
func inAskingBench(t *testing.T, test func(b *bench)) {
	t.Helper()
	inBench(t, func(b *bench) {
		b.plugins["restart"] = newAsker()
		test(b)
	})
}

// asked has a task run until it asks.
func (b *bench) asked(task *agentv1.Task) *agentv1.Question {
	b.t.Helper()
	b.dispatchPermitted(task)
	if !b.server.until(time.Minute, func() bool { return len(b.server.questions) > 0 }) {
		b.t.Fatal("no question came to the server")
	}
	return b.server.questions[0]
}

func answerOf(q *agentv1.Question, yes bool, by, note string) *agentv1.Answer {
	return &agentv1.Answer{Key: q.GetKey(), PlanId: q.GetPlanId(), Confirmed: yes, By: by, Note: note, Time: stamp(time.Now())}
}

// TestConfirm: what is asked, and what comes of each answer.
func TestConfirm(t *testing.T) {
	for name, tc := range map[string]struct {
		answers func(b *bench, q *agentv1.Question)
		want    actionv1.TaskStatus
		reason  string
		by      string
		calls   []string
		waits   time.Duration
	}{
		"yes": {
			func(b *bench, q *agentv1.Question) { b.runner.Answer(answerOf(q, true, "ada", "done")) },
			succeeded, "", "ada", []string{"stop", "start"}, time.Minute,
		},
		"no": {
			func(b *bench, q *agentv1.Question) {
				b.runner.Answer(answerOf(q, false, "ada", "the charger is broken"))
			},
			failedStatus, "ada said no: the charger is broken", "ada", nil, time.Minute,
		},
		"no, without a note": {
			func(b *bench, q *agentv1.Question) { b.runner.Answer(answerOf(q, false, "ada", "")) },
			failedStatus, "ada said no", "ada", nil, time.Minute,
		},
		"nobody": {
			func(*bench, *agentv1.Question) {}, failedStatus, "nobody confirmed within 10m0s: " + prompt, "", nil, 10 * time.Minute,
		},
		"the first answer counts": {
			func(b *bench, q *agentv1.Question) {
				b.runner.Answer(answerOf(q, false, "ada", "wait"))
				b.runner.Answer(answerOf(q, true, "bob", ""))
			}, failedStatus, "ada said no: wait", "ada", nil, time.Minute,
		},
		"an answer twice": {
			func(b *bench, q *agentv1.Question) {
				b.runner.Answer(answerOf(q, true, "ada", ""))
				b.runner.Answer(answerOf(q, true, "ada", ""))
			}, succeeded, "", "ada", []string{"stop", "start"}, time.Minute,
		},
		"an answer that nobody gave": {
			func(b *bench, q *agentv1.Question) { b.runner.Answer(answerOf(q, true, "", "")) },
			failedStatus, "nobody confirmed", "", nil, 10 * time.Minute,
		},
		"an answer to something else": {
			func(b *bench, q *agentv1.Question) {
				other := answerOf(q, true, "ada", "")
				other.PlanId = "stop"
				b.runner.Answer(other)
				other = answerOf(q, true, "ada", "")
				other.Key = &agentv1.TaskKey{JobId: "j", Attempt: 2}
				b.runner.Answer(other)
			}, failedStatus, "nobody confirmed", "", nil, 10 * time.Minute,
		},
		"too late": {
			func(b *bench, q *agentv1.Question) {
				time.AfterFunc(10*time.Minute+time.Second, func() { b.runner.Answer(answerOf(q, true, "ada", "")) })
			}, failedStatus, "nobody confirmed", "", nil, 10 * time.Minute,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inAskingBench(t, func(b *bench) {
				begun := time.Now()
				q := b.asked(b.task("j", "restart"))
				if q.GetPrompt() != prompt || q.GetPlanId() != "ask" || !q.GetDeadline().AsTime().Equal(begun.Add(10*time.Minute)) {
					t.Errorf("the question is %v, want the plan's prompt and id, and when the time is over", q)
				}
				pass(time.Second)
				if len(b.machine.Calls()) > 0 {
					t.Errorf("the machine was told to %v before the answer", b.machine.Calls())
				}
				tc.answers(b, q)
				res := b.result(b.task("j", "restart"))
				b.wantStatus(res, tc.want)
				rec := res.GetEffects()[0]
				if !strings.HasPrefix(res.GetReason(), tc.reason) || rec.GetAfter().GetConfirmation().GetBy() != tc.by {
					t.Errorf("reason %q, recorded %v; want %q, answered by %q", res.GetReason(), rec, tc.reason, tc.by)
				}
				if rec.GetChanged() || rec.GetInverse() != actionv1.Inverse_INVERSE_EXACT || len(res.GetUndone()) != 0 {
					t.Errorf("recorded %v, undone %v; want nothing changed and nothing to undo: it was only asked", rec, res.GetUndone())
				}
				if calls := verbs(b.machine); !slices.Equal(calls, tc.calls) {
					t.Errorf("the machine was told to %v, want %v", calls, tc.calls)
				}
				if took := time.Since(begun); took < tc.waits-time.Minute || took > tc.waits+time.Minute {
					t.Errorf("it took %v, want about %v", took, tc.waits)
				}
				if open := b.runner.OpenQuestions(); len(open) != 0 {
					t.Errorf("open questions are %v, want none after the answer", open)
				}
				if want := "apply: waiting for a person: " + prompt; !slices.Contains(b.server.progress, want) {
					t.Errorf("progress is %q, want %q in it", b.server.progress, want)
				}
				b.wantRunning()
			})
		})
	}
}

// TestQuestionsAreKeptForTheNextSession: without a session nobody hears the question, so it stays open and can be told again.
func TestQuestionsAreKeptForTheNextSession(t *testing.T) {
	inAskingBench(t, func(b *bench) {
		q := b.asked(b.task("j", "restart"))
		b.runner.SessionEnded()
		pass(5 * time.Minute)
		b.runner.SessionStarted()
		if open := b.runner.OpenQuestions(); len(open) != 1 || open[0].GetPrompt() != prompt || !open[0].GetDeadline().AsTime().Equal(q.GetDeadline().AsTime()) {
			t.Fatalf("open questions are %v, want the one that was asked, with its deadline", open)
		}
		b.runner.Answer(answerOf(q, true, "ada", ""))
		b.wantStatus(b.result(b.task("j", "restart")), succeeded)
	})
}

// TestQuestionsThatMayNotBeAsked: the plan is not taken, and nobody is asked.
func TestQuestionsThatMayNotBeAsked(t *testing.T) {
	for name, tc := range map[string]struct {
		effect  *actionv1.Effect
		arrange func(a *actionv1.Action)
		reason  string
	}{
		"no prompt":              {confirmEffect("", time.Minute), nil, "0 bytes, want 1 to 500"},
		"long prompt":            {confirmEffect(strings.Repeat("x", 501), time.Minute), nil, "501 bytes"},
		"escape sequence":        {confirmEffect("press \x1b[2J", time.Minute), nil, "control characters"},
		"no UTF-8":               {confirmEffect("press \xff", time.Minute), nil, "control characters"},
		"no time":                {confirmEffect(prompt, 0), nil, "0s, want 10s to 24h"},
		"short time":             {confirmEffect(prompt, 9*time.Second), nil, "want 10s to 24h"},
		"long time":              {confirmEffect(prompt, 25*time.Hour), func(a *actionv1.Action) { a.MaxDuration = durationpb.New(30 * time.Hour) }, "want 10s to 24h"},
		"as long as the run":     {confirmEffect(prompt, 2*time.Hour), nil, "less than the action's max_duration, which is 2h"},
		"not declared":           {confirmEffect(prompt, time.Minute), func(a *actionv1.Action) { a.Capabilities = a.GetCapabilities()[:2] }, "person_confirm"},
		"by one that only reads": {confirmEffect(prompt, time.Minute), func(a *actionv1.Action) { a.ReadOnly = true }, "only reads"},
	} {
		t.Run(name, func(t *testing.T) {
			inAskingBench(t, func(b *bench) {
				p := b.plugins["restart"]
				if tc.arrange != nil {
					tc.arrange(p.action)
				}
				p.plan = ask(func(context.Context, Calls) error { return nil }, ready(planned("ask", tc.effect)))
				res := b.do(b.task("j", "restart"))
				b.wantStatus(res, failedStatus)
				if !strings.Contains(res.GetReason(), tc.reason) || len(b.server.questions) > 0 {
					t.Errorf("reason is %q with %d questions, want %q and none", res.GetReason(), len(b.server.questions), tc.reason)
				}
			})
		})
	}
}

// TestDryRunAsksNobody: the plan shows what would be asked.
func TestDryRunAsksNobody(t *testing.T) {
	inAskingBench(t, func(b *bench) {
		task := b.task("j", "restart")
		task.DryRun = true
		res := b.do(task)
		b.wantStatus(res, succeeded)
		if len(b.server.questions) > 0 || res.GetPlan().GetEffects()[0].GetEffect().GetConfirm().GetPrompt() != prompt {
			t.Errorf("%d questions, plan %v; want none asked, and the prompt in the plan", len(b.server.questions), res.GetPlan())
		}
	})
}

// TestDeadlineWhileAPersonIsWaitedFor: the run's own deadline ends the wait, and what was done before is put back.
func TestDeadlineWhileAPersonIsWaitedFor(t *testing.T) {
	inAskingBench(t, func(b *bench) {
		p := b.plugins["restart"]
		p.action.MaxDuration = durationpb.New(11 * time.Minute)
		p.apply = func(ctx context.Context, start *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
			if _, err := calls.Effect(ctx, &actionv1.EffectRequest{PlanId: "stop", Effect: stopEffect(service)}); err != nil {
				return nil, err
			}
			if err := calls.Wait(ctx, 5*time.Minute); err != nil {
				return nil, err
			}
			_, err := calls.Effect(ctx, &actionv1.EffectRequest{PlanId: "ask", Effect: plannedEffect(start.GetPlan(), "ask")})
			return finishApplied(false, "no"), err
		}
		begun := time.Now()
		res := b.do(b.task("j", "restart"))
		b.wantStatus(res, failedStatus)
		if took := time.Since(begun); took != 11*time.Minute || !strings.Contains(res.GetReason(), "had not ended after 11m0s") {
			t.Errorf("it took %v with the reason %q, want the deadline of 11m", took, res.GetReason())
		}
		if len(b.runner.OpenQuestions()) != 0 {
			t.Error("the question is still open")
		}
		b.wantRunning()
	})
}

// TestWaitsForPeopleMayBeLong: a day more than other actions.
func TestWaitsForPeopleMayBeLong(t *testing.T) {
	r := New(Config{MaxDuration: time.Hour})
	for _, tc := range []struct {
		asks        bool
		asked, want time.Duration
	}{{false, 30 * time.Hour, time.Hour}, {true, 30 * time.Hour, 25 * time.Hour}, {true, 2 * time.Hour, 2 * time.Hour}, {true, 0, defaultDuration}} {
		a := newRestarter().action
		if tc.asks {
			a = newAsker().action
		}
		a.MaxDuration = durationpb.New(tc.asked)
		if got := (&course{r: r, action: a}).duration(); got != tc.want {
			t.Errorf("an action that asks (%v) and wants %v gets %v, want %v", tc.asks, tc.asked, got, tc.want)
		}
	}
}
