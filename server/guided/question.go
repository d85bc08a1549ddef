package guided

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/jobs"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// A question of a running task is a guided task as well, so that whoever works through the list of tasks sees it. The question itself
// stays with the job: its first answer counts, however it was given, and the guided task follows what the job says.

// bandSerial is what a parameter must look like to be taken for a band's serial.
var bandSerial = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{1,62}$`)

// paramBand is the parameter of actions that names a band.
const paramBand = "band_serial"

// followQuestions closes the tasks of questions that are over, and makes those of new ones.
func (d *Desk) followQuestions(ctx context.Context) error {
	asking, err := d.cfg.Questions.Asking(ctx)
	if err != nil {
		return err
	}
	now := map[string]string{}
	for _, a := range asking {
		now[a.Task.GetJobId()+"/"+a.Task.GetTerminalId()] = a.Task.GetQuestion().GetPlanId()
	}
	ids, err := d.openQuestions(ctx)
	for _, id := range ids {
		if e := d.followQuestion(ctx, id, now); e != nil {
			err = errors.Join(err, fmt.Errorf("guided task %q: %w", id, e))
		}
	}
	for _, a := range asking {
		err = errors.Join(err, d.raise(ctx, a))
	}
	return err
}

// openQuestions lists the open tasks that are of questions.
func (d *Desk) openQuestions(ctx context.Context) (ids []string, err error) {
	slots, err := d.openSlots(ctx, store.Prefix("question"))
	for _, s := range slots {
		ids = append(ids, s.id)
	}
	return ids, err
}

// raise makes the task of a question.
func (d *Desk) raise(ctx context.Context, a jobs.Asking) error {
	t := a.Task
	_, err := d.Create(ctx, Order{
		TerminalID: t.GetTerminalId(), JobID: t.GetJobId(), By: "job " + t.GetJobId(), Reason: "a running job waits for an answer: " + a.Action,
		Params: map[string]string{paramBand: a.Params[paramBand]}, question: &a,
	})
	return err
}

// fillOfQuestion gives a task what a running job asks, and the steps of its action's entry as a reminder: the question alone must be
// answered.
func (d *Desk) fillOfQuestion(rec *storagev1.GuidedRecord, o Order) {
	t, q := rec.GetTask(), o.question.Task.GetQuestion()
	rec.PlanId = q.GetPlanId()
	t.Title, t.Due, t.Priority = oneLine(q.GetPrompt(), maxText), q.GetDeadline(), fleetv1.GuidedPriority_GUIDED_PRIORITY_NORMAL
	if serial := o.Params[paramBand]; bandSerial.MatchString(serial) {
		t.Band, o.Band = serial, serial
	}
	t.Verify = "answering fixed says yes to the job, not-fixed says no; nobody's answer by its time is a no"
	e := d.entryOf(o.question.Action)
	if e == nil {
		t.Assignee = cmp.Or(t.GetAssignee(), "site-desk")
		return
	}
	t.Assignee = cmp.Or(t.GetAssignee(), e.Person.Assignee)
	t.Steps = steps(e.Person.Steps, placeholders(o))
	for _, s := range t.GetSteps() {
		s.Optional = true
	}
}

// followQuestion ends a task whose question is over. One that the engine does not know now stays: after a start of the server the agent
// asks again.
func (d *Desk) followQuestion(ctx context.Context, id string, asking map[string]string) error {
	rec, err := d.read(ctx, id)
	if err != nil {
		return err
	}
	t := rec.GetTask()
	job, err := d.cfg.Questions.TaskOf(ctx, t.GetJobId(), t.GetTerminalId())
	if no, ok := errors.AsType[*refusal.Error](err); ok && no.Kind == refusal.NotFound {
		return d.overtake(ctx, id, "the job is not there any more")
	}
	if err != nil {
		return err
	}
	for _, a := range job.GetAnswers() {
		if a.GetPlanId() == rec.GetPlanId() {
			return d.answered(ctx, id, a)
		}
	}
	plan, asks := asking[t.GetJobId()+"/"+t.GetTerminalId()]
	switch {
	case job.GetState() == fleetv1.TaskState_TASK_STATE_DONE:
		return d.overtake(ctx, id, "the job's task there has ended")
	case asks && plan != rec.GetPlanId():
		return d.overtake(ctx, id, "the job asks something else now")
	}
	return nil
}

func (d *Desk) overtake(ctx context.Context, id, why string) error {
	_, err := d.change(ctx, id, func(_ store.Writer, rec *storagev1.GuidedRecord) (audit.Entry, error) {
		if !isOpen(rec.GetTask()) {
			return audit.Entry{}, errUnchanged
		}
		return d.overtaken(rec, why, false), nil
	})
	return err
}

// answered ends the task of a question that has its answer.
func (d *Desk) answered(ctx context.Context, id string, a *fleetv1.Answer) error {
	_, err := d.change(ctx, id, func(_ store.Writer, rec *storagev1.GuidedRecord) (audit.Entry, error) {
		if !isOpen(rec.GetTask()) {
			return audit.Entry{}, errUnchanged
		}
		d.end(rec, fleetv1.GuidedState_GUIDED_STATE_DONE, outcomeOf(a.GetConfirmed()), a.GetBy(), a.GetNote())
		rec.Task.Closed = timestamppb.New(a.GetTime().AsTime())
		why := "the job's question was answered by " + a.GetBy()
		return audit.Entry{Verb: "guided.close", Reason: why, Changes: []*storagev1.AuditChange{audit.Change("outcome", "", outcomeWord(rec.GetTask()))}}, nil
	})
	return err
}

func outcomeOf(confirmed bool) fleetv1.GuidedOutcome {
	if confirmed {
		return fleetv1.GuidedOutcome_GUIDED_OUTCOME_FIXED
	}
	return fleetv1.GuidedOutcome_GUIDED_OUTCOME_NOT_FIXED
}

// answer tells the job what the caller says. The same answer again is no error, another one is.
func (d *Desk) answer(ctx context.Context, p *access.Principal, t *fleetv1.GuidedTask, r *fleetv1.CloseGuidedTaskRequest) error {
	if d.cfg.Questions == nil {
		return nil
	}
	_, err := d.cfg.Questions.Confirm(ctx, p, &fleetv1.ConfirmTaskRequest{
		JobId: t.GetJobId(), Terminal: t.GetTerminalId(), Confirmed: r.GetOutcome() == fleetv1.GuidedOutcome_GUIDED_OUTCOME_FIXED, Note: r.GetNote(),
	})
	return err
}
