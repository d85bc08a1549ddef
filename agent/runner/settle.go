package runner

import (
	"context"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	// settleTimeout bounds the wait for a service that is starting or stopping.
	settleTimeout = 15 * time.Second
	// bootTimeout bounds the wait for services after a start of the machine; Windows starts delayed ones 2 minutes after it.
	bootTimeout = 3 * time.Minute
)

// settled reads a service once it is neither starting nor stopping, or as it is after limit.
func (r *Runner) settled(ctx context.Context, service string, limit time.Duration) (*actionv1.ServiceState, error) {
	return r.await(ctx, service, time.Now().Add(limit), func(s *actionv1.ServiceState) bool { return !inTransition(s) })
}

// await reads a service until it is as wanted, or as it is at the time until.
func (r *Runner) await(ctx context.Context, service string, until time.Time, wanted func(*actionv1.ServiceState) bool) (*actionv1.ServiceState, error) {
	for {
		state, err := r.serviceState(ctx, service)
		if err != nil || wanted(state) || !time.Now().Before(until) {
			return state, err
		}
		if err := sleep(ctx, watchEvery); err != nil {
			return nil, err
		}
	}
}

func inTransition(s *actionv1.ServiceState) bool {
	return s.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_STARTING || s.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_STOPPING
}

func running(s *actionv1.ServiceState) bool {
	return s.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_RUNNING
}

// settle finds out, after a crash, what became of the effects whose outcome was not journalled. What cannot be told is not
// journalled either: the next recovery looks again.
func (c *course) settle(ctx context.Context, bootWait time.Time) {
	// A boot that could not be told is another one.
	sameBoot := c.rec.GetBootId() == c.r.cfg.BootID && c.r.cfg.BootID != ""
	if !sameBoot {
		c.awaitBoot(ctx, bootWait)
	}
	for i, e := range c.effects {
		if e.GetFinished() {
			continue
		}
		if !c.settleEffect(ctx, e.GetEffect(), sameBoot) {
			c.unsettled = true
			continue
		}
		e.Finished = true
		if c.journalled(c.r.journal.EffectOutcome(c.key(), uint32(i+1), e.GetEffect())) != nil {
			return
		}
	}
}

// awaitBoot gives the services that are to run the time that they need after a start of the machine.
func (c *course) awaitBoot(ctx context.Context, until time.Time) {
	for _, t := range c.touched() {
		if service := t.service(); service != "" {
			// A service that cannot be read is met again when it is put back.
			_, _ = c.r.await(ctx, service, until, running)
		}
	}
}

// settleEffect completes the record of an interrupted effect by comparing what is with what was. It returns false when the
// effect can neither be said to have come about nor not to have.
func (c *course) settleEffect(ctx context.Context, record *actionv1.RecordedEffect, sameBoot bool) bool {
	if record.GetEffect().GetConfirm() != nil {
		c.settleConfirm(record)
		return true
	}
	if changesNothing(record.GetEffect()) {
		record.Finished, record.Error = stamp(time.Now()), "the agent was stopped while it was done; it changes nothing"
		return true
	}
	d, err := work{r: c.r, key: c.key(), c: c}.begun(record)
	if err != nil {
		record.Error = err.Error()
		return false
	}
	now, err := atRest(ctx, d)
	if err != nil {
		record.Error = clip("the agent was stopped while it was done, and the state cannot be read: "+err.Error(), maxText)
		return false
	}
	record.After, record.Finished, record.Changed = now, stamp(time.Now()), !same(record.GetBefore(), now)
	return settledBy(d, record, sameBoot)
}

// settledBy judges an interrupted effect by the state after it. A start of the machine brings what is restless to rest by itself, so
// that nothing can be told of it; anything else outlasts it.
func settledBy(d deed, record *actionv1.RecordedEffect, sameBoot bool) bool {
	_, byItself := d.(restless)
	_, blind := d.(traceless)
	wrong := d.reached(record.GetAfter())
	switch {
	case record.GetEffect().GetReboot() != nil && wrong != nil:
		record.Changed, record.Error = true, "the machine was not started again in time"
		return true
	case record.GetEffect().GetReboot() != nil:
		record.Error = ""
		return true
	case blind:
		record.Error, record.Finished, record.Changed = "the agent was stopped while it was done, and nothing tells whether it was", nil, true
		return false
	case byItself && !sameBoot:
		record.Error = "the machine was started again while it was done"
		return false
	case !record.GetChanged():
		record.Error = "the agent was stopped before it was done"
		return true
	case wrong == nil:
		record.Error = ""
		return true
	}
	if !byItself {
		// Nobody saw the end of it: what is there is not taken for the course's own.
		record.Finished = nil
	}
	record.Error = clip("the agent was stopped while it was done, and the state is neither as before nor as wanted: "+wrong.Error(), maxText)
	return false
}
