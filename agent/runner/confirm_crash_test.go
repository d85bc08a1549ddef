package runner

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// TestInterruptedQuestions: what a crash while a person is asked means for each kind of action. Asking has changed nothing.
func TestInterruptedQuestions(t *testing.T) {
	const (
		repeatable = actionv1.Repeatability_REPEATABILITY_REPEATABLE
		probing    = actionv1.Repeatability_REPEATABILITY_PROBE
		oneShot    = actionv1.Repeatability_REPEATABILITY_ONE_SHOT
	)
	for name, tc := range map[string]struct {
		repeatability actionv1.Repeatability
		// at is the step after which the agent dies.
		at string
		// answer is what the person says in the first life, who in the second.
		first, second *agentv1.Answer
		prompt        string
		want          actionv1.TaskStatus
		reason        string
		// asks is how many questions come to the server in both lives.
		asks int
	}{
		"repeatable, not answered":   {repeatability: repeatable, at: "intent ask", second: &agentv1.Answer{Confirmed: true, By: "bob"}, want: succeeded, asks: 1},
		"repeatable, answered yes":   {repeatability: repeatable, at: "answer ask", first: &agentv1.Answer{Confirmed: true, By: "ada"}, want: succeeded, asks: 1},
		"repeatable, answered no":    {repeatability: repeatable, at: "answer ask", first: &agentv1.Answer{By: "ada"}, want: failedStatus, reason: "ada said no", asks: 1},
		"repeatable, after the yes":  {repeatability: repeatable, at: "outcome stop", first: &agentv1.Answer{Confirmed: true, By: "ada"}, want: succeeded, asks: 1},
		"repeatable, other question": {repeatability: repeatable, at: "answer ask", first: &agentv1.Answer{Confirmed: true, By: "ada"}, prompt: "press the button", want: failedStatus, reason: "something else was asked", asks: 1},
		"probe, not answered":        {repeatability: probing, at: "intent ask", want: failedStatus, reason: "before it had done anything"},
		"one-shot, answered yes":     {repeatability: oneShot, at: "answer ask", first: &agentv1.Answer{Confirmed: true, By: "ada"}, want: failedStatus, reason: "before it had done anything", asks: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				p := newAsker()
				p.action.Repeatability = tc.repeatability
				b.plugins["restart"] = p
				task := b.task("j", "restart")
				b.answering(tc.first)
				b.live(&life{left: stepsOfAsker(t, tc.at), after: true}, task)
				if b.server.results["j/1"] != nil {
					t.Fatalf("there is a result %v before the recovery", b.server.results["j/1"])
				}
				if tc.prompt != "" {
					p.plan = planAsker(tc.prompt)
				}
				b.answering(tc.second)
				b.start()
				res := b.result(task)
				b.wantStatus(res, tc.want)
				if !strings.Contains(res.GetReason(), tc.reason) || len(b.server.questions) != tc.asks {
					t.Errorf("reason %q after %d questions, want %q after %d", res.GetReason(), len(b.server.questions), tc.reason, tc.asks)
				}
				b.wantRunning()
				if err := b.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// answering has a person answer each question so; nil lets it be.
func (b *bench) answering(with *agentv1.Answer) {
	b.server.person = nil
	if with == nil {
		return
	}
	b.server.person = func(q *agentv1.Question) {
		runner := b.runner
		go runner.Answer(answerOf(q, with.GetConfirmed(), with.GetBy(), with.GetNote()))
	}
}

// stepsOfAsker counts the steps of an undisturbed run of the asking plugin up to one.
func stepsOfAsker(t *testing.T, step string) int {
	t.Helper()
	practice := newBench(t)
	practice.plugins["restart"] = newAsker()
	practice.answering(&agentv1.Answer{Confirmed: true, By: "ada"})
	l := &life{}
	practice.live(l, practice.task("j", "restart"))
	i := slices.Index(l.did, step)
	if i < 0 {
		t.Fatalf("a run has the steps %q, none is %q", l.did, step)
	}
	return i + 1
}

// TestStopWhileAPersonIsWaitedFor: an agent that is told to end does not wait for people; the next one asks again.
func TestStopWhileAPersonIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.plugins["restart"] = newAsker()
		b.plugins["restart"].action.Repeatability = actionv1.Repeatability_REPEATABILITY_REPEATABLE
		b.start()
		task := b.task("j", "restart")
		b.asked(task)
		told := time.Now()
		if err := b.stop(); err != nil || time.Since(told) > time.Second {
			t.Fatalf("the agent ended after %v with %v, want at once: a person may take a day", time.Since(told), err)
		}
		b.answering(&agentv1.Answer{Confirmed: true, By: "ada"})
		b.start()
		b.wantStatus(b.result(task), succeeded)
		if len(b.server.questions) != 2 {
			t.Errorf("%d questions, want one in each life", len(b.server.questions))
		}
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestAnswerThatCannotBeJournalled is not acted upon: nobody could say after a crash why the run went on.
func TestAnswerThatCannotBeJournalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.plugins["restart"] = newAsker()
		whole := b.journal
		b.journal = mortalJournal{whole, &life{left: stepsOfAsker(t, "answer ask")}}
		b.start()
		b.answering(&agentv1.Answer{Confirmed: true, By: "ada"})
		b.dispatchPermitted(b.task("j", "restart"))
		pass(time.Minute)
		if err := b.stop(); !errors.Is(err, errCrashed) {
			t.Errorf("Run ended with %v, want the journal's error", err)
		}
		if len(b.machine.Calls()) > 0 {
			t.Errorf("the machine was told to %v on an answer that is not in the journal", b.machine.Calls())
		}
	})
}
