package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// The time between two tries to put a service back: it doubles from the first to the last.
const (
	firstRetry = 5 * time.Second
	lastRetry  = 5 * time.Minute
	// pressingRetry is the longest time between two tries to put back what cuts off a site.
	pressingRetry = 15 * time.Second
)

// nextTry is how long after a failed try the next one comes.
func nextTry(o *storagev1.Obligation) time.Duration {
	after := retryAfter(o.GetTries())
	for _, e := range o.GetEffects() {
		if e.GetEffect().GetBindingSet() != nil {
			return min(after, pressingRetry)
		}
	}
	return after
}

func retryAfter(tries uint32) time.Duration {
	d := firstRetry
	for range min(tries, 16) {
		d = min(2*d, lastRetry)
	}
	return d
}

// oblige notes that a resource could not be put back at once, so that the agent keeps at it, over restarts too.
func (c *course) oblige(u *actionv1.Undo, t touch) {
	o := &storagev1.Obligation{
		Resource: t.resource(), Task: c.key(), Since: stamp(time.Now()),
		LastError: u.GetReason(), Locks: c.r.claimOf(c.rec.GetTask().GetAction()),
	}
	if s := t.first.GetService(); s != nil {
		o.Service = s.GetService()
	} else {
		o.Effects = t.records
	}
	if c.journalled(c.r.journal.PutObligation(o)) != nil {
		u.Outcome = actionv1.UndoOutcome_UNDO_OUTCOME_FAILED
		return
	}
	c.r.awaitObligation(o, nextTry(o))
}

// awaitObligation queues the next try. There is one entry for each resource.
func (r *Runner) awaitObligation(o *storagev1.Obligation, after time.Duration) {
	e := &entry{
		who: "the agent, which puts back " + o.GetResource(), claim: claim(o.GetLocks()), due: time.Now().Add(after), obligation: o.GetResource(),
		run: func(ctx context.Context) { r.discharge(ctx, proto.CloneOf(o)) },
	}
	r.requeue(e)
}

// discharge tries once to put a resource back. It gives the obligation up only when somebody else has decided otherwise: disabled or
// removed the service, or changed the value.
func (r *Runner) discharge(ctx context.Context, o *storagev1.Obligation) {
	done, err := r.putRight(ctx, o)
	switch {
	case ctx.Err() != nil:
		return
	case done:
		r.log.Info("an obligation has ended", "resource", o.GetResource(), "task", nameOf(o.GetTask()), "tries", o.GetTries()+1)
		if err := r.journal.DropObligation(o.GetResource()); err != nil {
			r.fail(err)
		}
		return
	}
	o.Tries++
	o.LastError = clip(err.Error(), maxText)
	r.log.Warn("what a task has changed could still not be put back", "resource", o.GetResource(), "task", nameOf(o.GetTask()),
		"tries", o.GetTries(), "again_in", nextTry(o), "error", err)
	if err := r.journal.PutObligation(o); err != nil {
		r.fail(err)
		return
	}
	r.awaitObligation(o, nextTry(o))
}

// putRight says whether nothing is left to do about an obligation, or why it is not put right.
func (r *Runner) putRight(ctx context.Context, o *storagev1.Obligation) (done bool, err error) {
	if o.GetService() != "" {
		return r.bringBack(ctx, o.GetService())
	}
	for _, t := range r.touches(o.GetTask(), recordedAs(o.GetEffects())) {
		u := r.restore(ctx, t)
		if !isBack(u) && u.GetOutcome() != actionv1.UndoOutcome_UNDO_OUTCOME_CONFLICT {
			return false, errors.New(u.GetReason())
		}
	}
	return true, nil
}

// recordedAs makes journal entries of records. One that has no end was interrupted, and nobody knows what came of it.
func recordedAs(records []*actionv1.RecordedEffect) []*storagev1.JournalEffect {
	var effects []*storagev1.JournalEffect
	for _, record := range records {
		effects = append(effects, &storagev1.JournalEffect{Effect: record, Finished: record.GetFinished() != nil})
	}
	return effects
}

// bringBack says whether nothing is left to do about a service, or why it does not run.
func (r *Runner) bringBack(ctx context.Context, service string) (done bool, err error) {
	state, err := r.settled(ctx, service, settleTimeout)
	switch {
	case err != nil:
		return false, err
	case running(state), !state.GetInstalled(), state.GetDisabled():
		return true, nil
	case inTransition(state):
		return false, fmt.Errorf("service %q: is still %s", service, statusName(state.GetStatus()))
	}
	_, err = r.startService(ctx, service)
	return err == nil, err
}
