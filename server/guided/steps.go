package guided

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// Take gives a task to the caller.
func (d *Desk) Take(ctx context.Context, p *access.Principal, r *fleetv1.TakeGuidedTaskRequest) (*fleetv1.GuidedTask, error) {
	return d.change(ctx, r.GetId(), func(_ store.Writer, rec *storagev1.GuidedRecord) (audit.Entry, error) {
		t := rec.GetTask()
		taken := t.GetState() == fleetv1.GuidedState_GUIDED_STATE_TAKEN
		switch {
		case !isOpen(t):
			return audit.Entry{}, errClosed(t)
		case taken && t.GetAssignee() == p.Name.ID:
			return audit.Entry{}, errUnchanged
		case taken && !r.GetForce():
			return audit.Entry{}, refusal.New(refusal.Precondition, "TAKEN", "guided task %q: %s has it", t.GetId(), t.GetAssignee()).
				At("force").Then("speak to them, or take it over with --force")
		}
		before := t.GetAssignee()
		t.State, t.Assignee = fleetv1.GuidedState_GUIDED_STATE_TAKEN, p.Name.ID
		return entryOf(p, "guided.take", audit.Change("assignee", before, p.Name.ID)), nil
	})
}

// Tick says that a step was done; the first tick of a step that needs time starts its timer, and none counts before that is over.
func (d *Desk) Tick(ctx context.Context, p *access.Principal, r *fleetv1.TickStepRequest) (*fleetv1.GuidedTask, error) {
	return d.change(ctx, r.GetId(), func(_ store.Writer, rec *storagev1.GuidedRecord) (audit.Entry, error) {
		t := rec.GetTask()
		if !isOpen(t) {
			return audit.Entry{}, errClosed(t)
		}
		if r.GetStep() < 1 || int(r.GetStep()) > len(t.GetSteps()) {
			return audit.Entry{}, refusal.New(refusal.Invalid, "NO_STEP", "guided task %q: has no step %d, its steps are 1 to %d", t.GetId(), r.GetStep(), len(t.GetSteps())).
				At("step")
		}
		step := t.GetSteps()[r.GetStep()-1]
		before := stepWord(step)
		if err := d.tick(t, step, p.Name.ID, r.GetUndo()); err != nil {
			return audit.Entry{}, err
		}
		return entryOf(p, "guided.tick", audit.Change(fmt.Sprintf("step.%d", step.GetNumber()), before, stepWord(step))), nil
	})
}

func (d *Desk) tick(t *fleetv1.GuidedTask, s *fleetv1.GuidedStep, by string, undo bool) error {
	now := d.cfg.Now()
	switch {
	case undo:
		return takeBack(t, s)
	case s.GetDone() != nil:
		return errUnchanged
	case s.GetTimer() != nil && s.GetTimerEnds() == nil:
		s.TimerEnds = timestamppb.New(now.Add(s.GetTimer().AsDuration()))
		return nil
	case s.GetTimerEnds() != nil && now.Before(s.GetTimerEnds().AsTime()):
		left := s.GetTimerEnds().AsTime().Sub(now).Round(time.Second)
		return refusal.New(refusal.Precondition, "TIMER_RUNS", "guided task %q: step %d: has to wait until %s, for another %s", t.GetId(), s.GetNumber(), clock(s.GetTimerEnds()), left).
			At("step").Then("tick it when the time is over")
	}
	s.Done, s.DoneBy = timestamppb.New(now), by
	return nil
}

// takeBack makes a step undone. A timer that came with the task, as that of a lockout, is not the person's to stop: it started before.
func takeBack(t *fleetv1.GuidedTask, s *fleetv1.GuidedStep) error {
	if s.GetDone() == nil && s.GetTimerEnds() == nil {
		return errUnchanged
	}
	if s.GetDone() == nil {
		if s.GetTimerEnds().AsTime().Equal(t.GetCreated().AsTime().Add(s.GetTimer().AsDuration())) {
			return refusal.New(refusal.Precondition, "TIMER_RUNS", "guided task %q: step %d: its clock began with the task and cannot be stopped", t.GetId(), s.GetNumber()).
				At("step").Then("wait until %s", clock(s.GetTimerEnds()))
		}
		s.TimerEnds = nil
	}
	s.Done, s.DoneBy = nil, ""
	return nil
}

func stepWord(s *fleetv1.GuidedStep) string {
	switch {
	case s.GetDone() != nil:
		return "done"
	case s.GetTimerEnds() != nil:
		return "waits until " + clock(s.GetTimerEnds())
	default:
		return "open"
	}
}

func entryOf(p *access.Principal, verb string, changes ...*storagev1.AuditChange) audit.Entry {
	return audit.Entry{Actor: p.Name, Verb: verb, Changes: changes}
}
