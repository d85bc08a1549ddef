package runner

import (
	"context"
	"fmt"
	"slices"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// startTimeout bounds a start that puts a service back.
const startTimeout = 30 * time.Second

// touch is a service that some effect of the course was begun on.
type touch struct {
	service string
	// before is the state before the first of them.
	before *actionv1.ServiceState
}

// mustRun says whether the service is to run in the end: it did before, or was on its way.
func (t touch) mustRun() bool {
	return t.before.GetInstalled() && !t.before.GetDisabled() && t.before.GetStatus() != actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
}

// touched returns what the course touched, over all its runs, in order of first touch. An effect that failed counts too: a
// service that did not stop in time may stop later.
func (c *course) touched() []touch {
	var touched []touch
	for _, e := range c.effects {
		before := e.GetEffect().GetBefore().GetService()
		if before == nil || slices.ContainsFunc(touched, func(t touch) bool { return t.service == before.GetService() }) {
			continue
		}
		touched = append(touched, touch{before.GetService(), before})
	}
	return touched
}

// undo puts back what the course touched, the last touched first, even when ctx has ended.
func (c *course) undo(ctx context.Context) {
	touched := c.touched()
	if len(touched) == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx)
	for _, t := range slices.Backward(touched) {
		c.r.report().Progress(c.key(), "undo", fmt.Sprintf("making sure that service %q is as before", t.service))
		u := c.putBack(ctx, t)
		u.Resource, u.Finished, u.Reason = resourceOf(t.service), stamp(time.Now()), clip(u.GetReason(), maxText)
		c.result.putBack(u)
	}
	c.journalled(c.r.journal.SaveUndone(c.key(), c.result.undone))
}

// putBack makes sure that a service that ran before runs. Running is the one state that counts: whoever started it meanwhile
// did what was wanted. A service that somebody has disabled or removed meanwhile is left alone.
func (c *course) putBack(ctx context.Context, t touch) *actionv1.Undo {
	state, err := c.r.settled(ctx, t.service, settleTimeout)
	u := &actionv1.Undo{State: stateOf(state)}
	switch {
	case !t.mustRun():
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED, "it was not running before"
	case err != nil:
		return c.oblige(u, t, fmt.Sprintf("its state cannot be read: %v", err))
	case running(state):
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED, "it is running"
	case !state.GetInstalled():
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_CONFLICT, "somebody has removed it meanwhile"
	case state.GetDisabled():
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_CONFLICT, "somebody has disabled it meanwhile"
	case inTransition(state):
		return c.oblige(u, t, "it is still "+statusName(state.GetStatus()))
	default:
		return c.startAgain(ctx, u, t)
	}
	return u
}

func (c *course) startAgain(ctx context.Context, u *actionv1.Undo, t touch) *actionv1.Undo {
	state, err := c.r.startService(ctx, t.service)
	if state != nil {
		u.State = stateOf(state)
	}
	if err != nil {
		return c.oblige(u, t, err.Error())
	}
	u.Outcome = actionv1.UndoOutcome_UNDO_OUTCOME_DONE
	return u
}

// startService starts a service and makes sure that it runs. The state is what was read last, nil when none could be.
func (r *Runner) startService(ctx context.Context, service string) (*actionv1.ServiceState, error) {
	start, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	_, err := contained(func() (struct{}, error) { return struct{}{}, r.host.Services.Start(start, service) })
	read, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	state, readErr := r.serviceState(read, service)
	switch {
	case readErr != nil:
		return nil, readErr
	case running(state):
		return state, nil
	case err != nil:
		return state, err
	}
	return state, fmt.Errorf("service %q: is %s right after it was started", service, statusName(state.GetStatus()))
}

// leftStopped is the last look before success is said: a service that ran before must run.
func (c *course) leftStopped(ctx context.Context) *failure {
	for _, t := range c.touched() {
		if !t.mustRun() {
			continue
		}
		read, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		state, err := c.r.serviceState(read, t.service)
		cancel()
		switch {
		case err != nil:
			return failed("%v", err)
		case !running(state):
			c.result.foundDown(t.service)
			return failed("service %q: ran before and is %s now", t.service, statusName(state.GetStatus()))
		}
	}
	return nil
}

// resourceOf is what a service is called in a result and in the journal.
func resourceOf(service string) string { return fmt.Sprintf("service %q", service) }
