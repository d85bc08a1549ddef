package runner

import (
	"context"
	"fmt"
	"slices"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// outdated finds, while a course is undone, the services that run with what it had changed: they were started after the change, and what
// was changed has been put back since.
type outdated struct {
	services []touch
	// fresh are services that run as another process than before the course. Whatever is put back after one is noted makes it outdated.
	fresh    []touch
	restored bool
}

// note takes in what became of one resource, in the order in which they are put back.
func (o *outdated) note(t touch, u *actionv1.Undo) {
	if t.first.GetService() == nil {
		if t.inverse() == actionv1.Inverse_INVERSE_EXACT && wasPutBack(t, u) {
			o.restored = true
			o.services, o.fresh = append(o.services, o.fresh...), nil
		}
		return
	}
	now := u.GetState().GetService()
	if !isBack(u) || !running(now) || now.GetPid() == t.first.GetService().GetPid() {
		return
	}
	if o.restored && u.GetOutcome() != actionv1.UndoOutcome_UNDO_OUTCOME_DONE {
		o.services = append(o.services, t)
		return
	}
	o.fresh = append(o.fresh, t)
}

// wasPutBack says whether a resource that had been changed is as before, be it that it was put back just now or by an undo that a crash
// has interrupted.
func wasPutBack(t touch, u *actionv1.Undo) bool {
	changed := slices.ContainsFunc(t.records, func(e *actionv1.RecordedEffect) bool { return e.GetChanged() })
	return u.GetOutcome() == actionv1.UndoOutcome_UNDO_OUTCOME_DONE || (isBack(u) && changed)
}

// startAnew ends a service and starts it, as part of an undo. A crash in between is made good by the undo after it.
func (c *course) startAnew(ctx context.Context, t touch) *actionv1.Undo {
	service := t.first.GetService().GetService()
	c.result.foundDown(service)
	state, err := c.r.restartService(ctx, service)
	u := &actionv1.Undo{Resource: t.resource(), State: stateOf(state), Outcome: actionv1.UndoOutcome_UNDO_OUTCOME_DONE, Finished: stamp(time.Now())}
	switch {
	case err == nil:
		u.Reason = "it was started again with what was put back"
	case running(state):
		u.Outcome = actionv1.UndoOutcome_UNDO_OUTCOME_FAILED
		u.Reason = clip(fmt.Sprintf("it runs with what had been changed, and could not be started again: %v", err), maxText)
	default:
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION, clip(err.Error(), maxText)
	}
	return u
}

// restartService ends a service and starts it. The state is what was read last, nil when none could be.
func (r *Runner) restartService(ctx context.Context, service string) (*actionv1.ServiceState, error) {
	stop, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	_, err := contained(func() (struct{}, error) { return struct{}{}, r.host.Services.Stop(stop, service) })
	if err != nil {
		state, readErr := r.settled(ctx, service, settleTimeout)
		if readErr != nil || state.GetStatus() != actionv1.ServiceStatus_SERVICE_STATUS_STOPPED {
			return state, err
		}
	}
	return r.startService(ctx, service)
}
