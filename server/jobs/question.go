package jobs

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// A question lives in memory only: the agent puts it again at each session. Its answer is on disk before the agent is told of it,
// and is told again whenever the agent asks again.

// Question tells that a running task waits for a person.
func (e *Engine) Question(ctx context.Context, terminalID string, q *agentv1.Question) error {
	return e.post(ctx, func() {
		if t := e.find(terminalID, q.GetKey().GetJobId(), q.GetKey().GetAttempt()); t != nil {
			e.asked(t, q)
		}
	})
}

func (e *Engine) asked(t *task, q *agentv1.Question) {
	if a := answerTo(t.answers, q.GetPlanId()); a != nil {
		e.tell(t, a)
		return
	}
	asked := timestamppb.New(e.now())
	if t.question.GetPlanId() == q.GetPlanId() {
		asked = t.question.GetAsked()
	}
	t.change(func() {
		t.question = &fleetv1.Question{PlanId: q.GetPlanId(), Prompt: onePrintableLine(q.GetPrompt()), Asked: asked, Deadline: q.GetDeadline()}
	})
	e.questions[t] = struct{}{}
	e.hintAsked()
}

// onePrintableLine keeps what a plugin wrote from steering the screens on which people read it.
func onePrintableLine(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// openQuestion is what a task asks of a person now; nil when nothing.
func (t *task) openQuestion(now time.Time) *fleetv1.Question {
	if t.question == nil || !t.running() || !now.Before(t.question.GetDeadline().AsTime()) {
		return nil
	}
	return t.question
}

// tell sends an answer to the agent. When the line is cut the agent asks again.
func (e *Engine) tell(t *task, a *fleetv1.Answer) {
	e.send(t.terminal, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Answer{Answer: &agentv1.Answer{
		Key: t.key(), PlanId: a.GetPlanId(), Confirmed: a.GetConfirmed(), By: a.GetBy(), Note: a.GetNote(), Time: a.GetTime(),
	}}})
}

// answerTo returns what was answered to the question of a planned effect, nil when nothing.
func answerTo(answers []*fleetv1.Answer, planID string) *fleetv1.Answer {
	for _, a := range answers {
		if a.GetPlanId() == planID {
			return a
		}
	}
	return nil
}

// Confirm answers the question of a running task. The first answer counts; the same answer again is no error.
func (e *Engine) Confirm(ctx context.Context, p *access.Principal, r *fleetv1.ConfirmTaskRequest) (*fleetv1.Task, error) {
	if err := audit.CheckReason("note", r.GetNote()); err != nil {
		return nil, err
	}
	job, err := e.Get(ctx, p, r.GetJobId())
	if err != nil {
		return nil, err
	}
	stored, err := e.taskOn(ctx, job.GetId(), r.GetTerminal())
	if err != nil {
		return nil, err
	}
	o := access.Object{Kind: access.Terminal, Name: clip(r.GetTerminal(), maxShown), Field: "terminal"}
	if err := access.CheckSites(p, access.Act, access.Every, o, []string{stored.GetSite()}); err != nil {
		return nil, err
	}
	q, err := e.questionOf(ctx, stored)
	if err != nil {
		return nil, err
	}
	if err := e.confirm(ctx, p, r, stored, q); err != nil {
		return nil, err
	}
	return e.shown(ctx, job.GetId(), stored.GetIndex())
}

// taskOn finds a job's task by the id or the name of its terminal.
func (e *Engine) taskOn(ctx context.Context, id, terminal string) (*fleetv1.Task, error) {
	notFound := refusal.New(refusal.NotFound, "TASK_NOT_FOUND", "job %q: terminal %q: is not one of its targets", id, clip(terminal, maxShown)).
		At("terminal").Then("look at `fleetctl job show %s`", id)
	rec, err := e.inv.Terminal(ctx, terminal)
	var found *storagev1.TaskRecord
	if err == nil {
		err = e.st.View(ctx, func(s store.Snapshot) error {
			job, err := readJob(s, id)
			if err == nil {
				found, err = findTask(s, id, rec.GetTerminal().GetId(), job.GetJob().GetCounts().GetTotal())
			}
			return err
		})
	}
	var no *refusal.Error
	if errors.As(err, &no) && (no.Kind == refusal.NotFound || no.Kind == refusal.Denied) {
		return nil, notFound
	}
	return found.GetTask(), err
}

// questionOf returns what a task asks now, nil when nothing.
func (e *Engine) questionOf(ctx context.Context, task *fleetv1.Task) (q *fleetv1.Question, err error) {
	err = e.do(ctx, func() {
		if t := e.find(task.GetTerminalId(), task.GetJobId(), attempt); t != nil {
			q = proto.CloneOf(t.openQuestion(e.now()))
		}
	})
	return q, err
}

// confirm stores an answer and tells it to the agent.
func (e *Engine) confirm(ctx context.Context, p *access.Principal, r *fleetv1.ConfirmTaskRequest, task *fleetv1.Task, q *fleetv1.Question) error {
	var given *fleetv1.Answer
	err := e.st.Update(ctx, func(w store.Writer) error {
		given = nil
		rec, err := readTask(w, task.GetJobId(), task.GetIndex())
		if err != nil {
			return err
		}
		if done, err := answeredAlready(rec.GetTask(), r, q); done || err != nil {
			return err
		}
		a := &fleetv1.Answer{PlanId: q.GetPlanId(), Confirmed: r.GetConfirmed(), By: p.Name.ID, Note: r.GetNote(), Time: timestamppb.New(e.now())}
		rec.Task.Answers = append(rec.GetTask().GetAnswers(), a)
		given = a
		return errors.Join(
			put(w, store.TableTasks, store.TaskKey(task.GetJobId(), task.GetIndex()), rec),
			audit.Append(w, e.now(), confirmed(p, rec.GetTask(), q, a)))
	})
	if err != nil || given == nil {
		return err
	}
	return e.do(context.WithoutCancel(ctx), func() { e.answerGiven(task, given) })
}

// answeredAlready reports whether the same answer was given before, and refuses another, or one to nothing. q is nil when the task
// asks nothing now: then the last answer is meant.
func answeredAlready(task *fleetv1.Task, r *fleetv1.ConfirmTaskRequest, q *fleetv1.Question) (bool, error) {
	answers := task.GetAnswers()
	var before *fleetv1.Answer
	switch {
	case q != nil:
		before = answerTo(answers, q.GetPlanId())
	case len(answers) > 0:
		before = answers[len(answers)-1]
	}
	switch {
	case before != nil && before.GetConfirmed() == r.GetConfirmed():
		return true, nil
	case before != nil:
		return false, refusal.New(refusal.Precondition, "ANSWERED", "job %q: terminal %q: %s answered %s at %s", task.GetJobId(),
			task.GetTerminalName(), before.GetBy(), yesOrNo(before.GetConfirmed()), before.GetTime().AsTime().Format(time.RFC3339)).
			Then("the first answer counts; cancel the job if it was wrong")
	case q == nil || task.GetState() == fleetv1.TaskState_TASK_STATE_DONE:
		return false, refusal.New(refusal.Precondition, "ASKS_NOTHING", "job %q: terminal %q: asks nothing now", task.GetJobId(), task.GetTerminalName()).
			Then("look at `fleetctl job show %s`; a question is shown while its terminal waits for the answer", task.GetJobId())
	}
	return false, nil
}

func confirmed(p *access.Principal, task *fleetv1.Task, q *fleetv1.Question, a *fleetv1.Answer) audit.Entry {
	return audit.Entry{
		Site: task.GetSite(), Actor: p.Name, Verb: "task.confirm", Reason: a.GetNote(),
		Object: "task/" + task.GetJobId() + "/" + task.GetTerminalId(),
		Changes: []*storagev1.AuditChange{
			audit.Change("effect", "", q.GetPlanId()), audit.Change("prompt", "", q.GetPrompt()), audit.Change("answer", "", yesOrNo(a.GetConfirmed())),
		},
	}
}

func yesOrNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// answerGiven goes on when an answer is on disk.
func (e *Engine) answerGiven(task *fleetv1.Task, a *fleetv1.Answer) {
	t := e.find(task.GetTerminalId(), task.GetJobId(), attempt)
	if t == nil {
		return
	}
	t.answers = append(t.answers, a)
	if t.question.GetPlanId() == a.GetPlanId() {
		delete(e.questions, t)
		e.hintAsked()
		t.change(func() { t.question = nil })
	}
	e.tell(t, a)
}

// shown reads one task as it is now.
func (e *Engine) shown(ctx context.Context, id string, index uint32) (*fleetv1.Task, error) {
	var now *live
	if err := e.do(ctx, func() {
		if j := e.byID[id]; j != nil && int(index) < len(j.tasks) {
			now = j.tasks[index].live(e.now())
		}
	}); err != nil {
		return nil, err
	}
	t, err := e.storedTask(ctx, id, index)
	if err != nil {
		return nil, err
	}
	return t, e.overlay(ctx, t, now)
}
