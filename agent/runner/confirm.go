package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

const (
	// leastConfirm and mostConfirm bound the wait for a person.
	leastConfirm = 10 * time.Second
	mostConfirm  = 24 * time.Hour
	// maxPrompt bounds what a person is asked, in bytes.
	maxPrompt = 500
)

// checkConfirm says why an action may not ask a person so. The wait must leave the run time for the rest, or the deadline would
// decide instead of the person.
func checkConfirm(c *actionv1.Confirm, a *actionv1.Action) error {
	prompt, timeout, limit := c.GetPrompt(), c.GetTimeout().AsDuration(), declaredDuration(a)
	switch {
	case prompt == "" || len(prompt) > maxPrompt:
		return fmt.Errorf("its prompt has %d bytes, want 1 to %d", len(prompt), maxPrompt)
	case !utf8.ValidString(prompt) || strings.ContainsFunc(prompt, unicode.IsControl):
		return errors.New("its prompt has control characters")
	case timeout < leastConfirm || timeout > mostConfirm:
		return fmt.Errorf("its timeout is %s, want %s to %s", timeout, leastConfirm, mostConfirm)
	case timeout >= limit:
		return fmt.Errorf("its timeout is %s, want less than the action's max_duration, which is %s", timeout, limit)
	}
	return nil
}

// question is one that a running task waits to have answered.
type question struct {
	asked *agentv1.Question
	// answered is closed when answer is set: the one that is in the journal.
	answered chan struct{}
	once     sync.Once
	answer   *actionv1.Confirmation
}

// confirm asks a person and records the answer. Asking changes nothing on the machine, so there is nothing to undo, and a run that
// was interrupted while it waited has done nothing by it.
func (c *course) confirm(ctx context.Context, req *actionv1.EffectRequest) (*actionv1.RecordedEffect, error) {
	record := &actionv1.RecordedEffect{
		PlanId: req.GetPlanId(), Effect: proto.CloneOf(req.GetEffect()), Before: confirmationState(&actionv1.Confirmation{}),
		Inverse: actionv1.Inverse_INVERSE_EXACT, Started: stamp(time.Now()),
	}
	return c.journalledDeed(record, func() error {
		answer, err := c.answerTo(ctx, record)
		if c.broken != nil {
			return c.broken
		}
		confirmed(record, answer, err)
		return nil
	})
}

// confirmed completes the record of a question.
func confirmed(record *actionv1.RecordedEffect, answer *actionv1.Confirmation, err error) {
	record.Finished = stamp(time.Now())
	if answer == nil {
		answer = &actionv1.Confirmation{}
	}
	record.After = confirmationState(answer)
	switch {
	case err != nil:
		record.Error = clip(err.Error(), maxText)
	case answer.GetConfirmed():
		record.Error = ""
	case answer.GetBy() == "":
		record.Error = fmt.Sprintf("nobody confirmed within %s: %s", record.GetEffect().GetConfirm().GetTimeout().AsDuration(), record.GetEffect().GetConfirm().GetPrompt())
	case answer.GetNote() == "":
		record.Error = clip(answer.GetBy()+" said no", maxText)
	default:
		record.Error = clip(answer.GetBy()+" said no: "+answer.GetNote(), maxText)
	}
}

func confirmationState(c *actionv1.Confirmation) *actionv1.State {
	return &actionv1.State{State: &actionv1.State_Confirmation{Confirmation: proto.CloneOf(c)}}
}

var (
	errGivenUp      = errors.New("it was given up while it waited for a person")
	errOtherPrompt  = errors.New("before the agent was restarted, something else was asked under the same id and answered; ask for the job again")
	errNotAnswered  = errors.New("the agent was stopped while it waited for a person")
	errNobodyToTell = errors.New("the task has ended")
)

// answerTo returns the first answer to a question: one that an earlier run of the task was given, or one that comes now. No answer
// in time is a no, and an answer like another.
func (c *course) answerTo(ctx context.Context, record *actionv1.RecordedEffect) (*actionv1.Confirmation, error) {
	if answer, err := c.given(record); answer != nil || err != nil {
		return answer, err
	}
	confirm := record.GetEffect().GetConfirm()
	q := c.r.ask(c.key(), record.GetPlanId(), confirm)
	defer c.r.forget(q)
	c.r.report().Progress(c.key(), phaseName(actionv1.Phase_PHASE_APPLY), "waiting for a person: "+confirm.GetPrompt())
	late := time.NewTimer(confirm.GetTimeout().AsDuration())
	defer late.Stop()
	select {
	case <-q.answered:
		return q.answer, nil
	case <-ctx.Done():
		return nil, errGivenUp
	case <-late.C:
		answer, err := c.r.resolve(q, &actionv1.Confirmation{Time: stamp(time.Now())})
		c.journalled(err)
		return answer, err
	}
}

// given returns the answer that is in the journal for a question, nil when there is none. An answer to another prompt is none to
// this one.
func (c *course) given(record *actionv1.RecordedEffect) (*actionv1.Confirmation, error) {
	answer := c.rec.GetAnswers()[record.GetPlanId()]
	if answer == nil {
		return nil, nil
	}
	for _, e := range c.effects {
		if e.GetEffect().GetPlanId() != record.GetPlanId() {
			continue
		}
		if e.GetEffect().GetEffect().GetConfirm().GetPrompt() != record.GetEffect().GetConfirm().GetPrompt() {
			return nil, errOtherPrompt
		}
		break
	}
	return answer, nil
}

// settleConfirm completes the record of a question that a crash interrupted.
func (c *course) settleConfirm(record *actionv1.RecordedEffect) {
	answer, err := c.given(record)
	if answer == nil && err == nil {
		err = errNotAnswered
	}
	confirmed(record, answer, err)
}

// ask opens a question and tells the server. The link tells it again with each new session while the question is open.
func (r *Runner) ask(k *agentv1.TaskKey, planID string, confirm *actionv1.Confirm) *question {
	r.mu.Lock()
	q := &question{answered: make(chan struct{}), asked: &agentv1.Question{
		Key: proto.CloneOf(k), PlanId: planID, Prompt: confirm.GetPrompt(),
		Deadline: stamp(r.clock.now().Add(confirm.GetTimeout().AsDuration())),
	}}
	r.questions = append(r.questions, q)
	r.mu.Unlock()
	r.report().Question(proto.CloneOf(q.asked))
	return q
}

func (r *Runner) forget(q *question) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, other := range r.questions {
		if other == q {
			r.questions = append(r.questions[:i:i], r.questions[i+1:]...)
			return
		}
	}
}

// OpenQuestions returns what waits for a person now, for a new session.
func (r *Runner) OpenQuestions() []*agentv1.Question {
	r.mu.Lock()
	defer r.mu.Unlock()
	var open []*agentv1.Question
	for _, q := range r.questions {
		open = append(open, proto.CloneOf(q.asked))
	}
	return open
}

// Answer journals what a person has said and lets the task go on. The first answer counts. One that nobody waits for, or that no
// person gave, changes nothing.
func (r *Runner) Answer(a *agentv1.Answer) {
	q := r.openQuestion(a)
	if q == nil || a.GetBy() == "" {
		r.log.Info("an answer is left aside: it names nobody, or no task waits for it", "task", nameOf(a.GetKey()), "by", clip(a.GetBy(), maxName))
		return
	}
	answer := &actionv1.Confirmation{Confirmed: a.GetConfirmed(), By: clip(a.GetBy(), maxName), Note: clip(a.GetNote(), maxText), Time: a.GetTime()}
	if _, err := r.resolve(q, answer); err != nil && !errors.Is(err, errNobodyToTell) {
		r.fail(err)
	}
}

func (r *Runner) openQuestion(a *agentv1.Answer) *question {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range r.questions {
		if proto.Equal(q.asked.GetKey(), a.GetKey()) && q.asked.GetPlanId() == a.GetPlanId() {
			return q
		}
	}
	return nil
}

// resolve journals an answer and hands the one that came first to whoever waits.
func (r *Runner) resolve(q *question, answer *actionv1.Confirmation) (*actionv1.Confirmation, error) {
	kept, err := r.journal.SaveAnswer(q.asked.GetKey(), q.asked.GetPlanId(), answer)
	if err != nil {
		return nil, err
	}
	if kept == nil {
		return nil, errNobodyToTell
	}
	q.once.Do(func() {
		q.answer = kept
		close(q.answered)
	})
	return kept, nil
}
