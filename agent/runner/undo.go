package runner

import (
	"context"
	"fmt"
	"slices"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// startTimeout bounds a start that puts a service back.
const startTimeout = 30 * time.Second

// touch is a resource that some effect was begun on.
type touch struct {
	// deed is the last effect's.
	deed
	// first is the state before the first of them.
	first *actionv1.State
	// records are the effects on it, in order; the last one's outcome is known when known is true.
	records []*actionv1.RecordedEffect
	known   bool
}

// isOurs says whether a state is the one that the last effect left, so that it may be put back.
func (t touch) isOurs(now *actionv1.State) bool {
	last := t.records[len(t.records)-1]
	if t.known && last.GetAfter() != nil {
		return same(now, last.GetAfter())
	}
	return t.reached(now) == nil
}

// service returns the name of a service that must run in the end, empty for what is none or need not.
func (t touch) service() string {
	if mustRun(t.first.GetService()) {
		return t.first.GetService().GetService()
	}
	return ""
}

// touched returns what the course must put back if it fails, in order of first touch. A service counts over all runs, and when its effect
// failed, too: one that did not stop in time may stop later. Whatever else an earlier run had changed was put back before the next
// began, so the latest run's counts.
func (c *course) touched() []touch {
	var recent []*storagev1.JournalEffect
	for _, e := range c.effects {
		if e.GetEffect().GetBefore().GetService() != nil || (e.GetRun() == c.rec.GetRuns() && mayHaveChanged(e)) {
			recent = append(recent, e)
		}
	}
	return c.r.touches(c.key(), recent)
}

// mayHaveChanged says whether there may be something to put back of an effect.
func mayHaveChanged(e *storagev1.JournalEffect) bool {
	return !changesNothing(e.GetEffect().GetEffect()) && e.GetEffect().GetInverse() != actionv1.Inverse_INVERSE_NONE &&
		(e.GetEffect().GetChanged() || !e.GetFinished())
}

// touches gathers effects by resource.
func (r *Runner) touches(key *agentv1.TaskKey, effects []*storagev1.JournalEffect) []touch {
	var all []touch
	for _, e := range effects {
		d, err := work{r: r, key: key}.begun(e.GetEffect())
		if err != nil {
			continue // a later agent's kind: it was never done by this one
		}
		i := slices.IndexFunc(all, func(t touch) bool { return t.resource() == d.resource() })
		if i < 0 {
			i = len(all)
			all = append(all, touch{first: e.GetEffect().GetBefore()})
		}
		all[i].deed, all[i].known = d, e.GetFinished()
		all[i].records = append(all[i].records, e.GetEffect())
	}
	return all
}

// undo puts back what the course touched, the last touched first, even when ctx has ended. What cannot be put back does not keep the
// rest from it.
func (c *course) undo(ctx context.Context, which func(touch) bool) {
	touched := slices.DeleteFunc(c.touched(), func(t touch) bool { return !which(t) })
	if len(touched) == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx)
	var ran outdated
	for _, t := range slices.Backward(touched) {
		c.r.report().Progress(c.key(), "undo", fmt.Sprintf("making sure that %s is as before", t.resource()))
		u := c.r.restore(ctx, t)
		ran.note(t, u)
		c.putBack(u, t)
	}
	for _, t := range ran.services {
		c.r.report().Progress(c.key(), "undo", fmt.Sprintf("starting %s again, so that it runs with what was put back", t.resource()))
		c.putBack(c.startAnew(ctx, t), t)
	}
	c.journalled(c.r.journal.SaveUndone(c.key(), c.result.undone))
}

func (c *course) putBack(u *actionv1.Undo, t touch) {
	if u.GetOutcome() == actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION {
		c.oblige(u, t)
	}
	c.result.putBack(u)
}

// anything and outOfService say what an undo puts back.
func anything(touch) bool { return true }

// outOfService is what an interrupted task may have left so that people cannot work.
func outOfService(t touch) bool { return t.first.GetService() != nil || t.first.GetDevice() != nil }

// restore puts one resource back and contains a panic of the host.
func (r *Runner) restore(ctx context.Context, t touch) *actionv1.Undo {
	u, err := contained(func() (*actionv1.Undo, error) { return t.restore(ctx, t), nil })
	if err != nil {
		u = &actionv1.Undo{Outcome: actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION, Reason: err.Error()}
	}
	u.Resource, u.Finished, u.Reason = t.resource(), stamp(time.Now()), clip(u.GetReason(), maxText)
	return u
}

// putBackExactly puts a value back that can be compared. set is called only while the course's own value is there; what it came to is
// read again, because only what was seen is said.
func putBackExactly(ctx context.Context, t touch, set func(ctx context.Context) error) *actionv1.Undo {
	now, err := look(ctx, t.deed)
	u := &actionv1.Undo{State: now}
	switch {
	case err != nil:
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION, fmt.Sprintf("its state cannot be read: %v", err)
		return u
	case same(now, t.first):
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED, "it is as before"
		return u
	case !t.isOurs(now):
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_CONFLICT, "somebody has changed it meanwhile"
		return u
	}
	limited, cancel := context.WithTimeout(ctx, maxEffectTimeout)
	defer cancel()
	return setBack(limited, t, set)
}

func setBack(ctx context.Context, t touch, set func(ctx context.Context) error) *actionv1.Undo {
	_, err := contained(func() (struct{}, error) { return struct{}{}, set(ctx) })
	now, readErr := look(context.WithoutCancel(ctx), t.deed)
	u := &actionv1.Undo{State: now, Outcome: actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION}
	switch {
	case readErr != nil:
		u.Reason = fmt.Sprintf("it was put back, and cannot be read: %v", readErr)
	case same(now, t.first):
		u.Outcome = actionv1.UndoOutcome_UNDO_OUTCOME_DONE
	case err != nil:
		u.Reason = err.Error()
	default:
		u.Reason = "it is not as before right after it was put back"
	}
	return u
}

// leftStopped is the last look before success is said: a service that ran before must run.
func (c *course) leftStopped(ctx context.Context) *failure {
	for _, t := range c.touched() {
		service := t.service()
		if service == "" {
			continue
		}
		read, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		state, err := c.r.serviceState(read, service)
		cancel()
		switch {
		case err != nil:
			return failed("%v", err)
		case !running(state):
			c.result.foundDown(service)
			return failed("service %q: ran before and is %s now", service, statusName(state.GetStatus()))
		}
	}
	return nil
}
