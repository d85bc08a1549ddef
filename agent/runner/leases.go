package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

const (
	// defaultMinLease is the least time to live of a change that ends by itself, unless the agent's configuration has another.
	defaultMinLease = 5 * time.Minute
	mostLease       = 24 * time.Hour
	// maxRestarts bounds the services that are restarted when a lease ends.
	maxRestarts = 8
	// leastNote and mostNote bound how often it is noted how much time a lease has left. A clock that is set back while the agent does not
	// run can prolong a lease by no more than that, and by the time that the agent did not run.
	leastNote = time.Minute
	mostNote  = 15 * time.Minute
)

// hold is a lease as the runner has it in memory.
type hold struct {
	lease *storagev1.JournalLease
	// end is when its time is over by the monotonic clock. By the machine's clock lease.until counts, when that is earlier.
	end time.Time
	// resources are what it holds, as the deeds call it.
	resources []string
	// ended is set, with Runner.ending held, when nothing is left to put back.
	ended bool
}

// leaseOf makes the lease of a task that succeeds now, nil when nothing that it has changed ends by itself.
func (c *course) leaseOf(now time.Time) *storagev1.JournalLease {
	var held []*actionv1.RecordedEffect
	for _, e := range c.recorded(c.rec.GetRuns()) {
		if e.GetEffect().GetLease() != nil && e.GetChanged() {
			held = append(held, e)
		}
	}
	if len(held) == 0 {
		return nil
	}
	terms := held[0].GetEffect().GetLease()
	return &storagev1.JournalLease{
		Id: fmt.Sprintf("l-%s-%d", c.key().GetJobId(), c.key().GetAttempt()), Task: c.key(),
		Since: stamp(now), Until: stamp(now.Add(terms.GetTtl().AsDuration())), Ttl: terms.GetTtl(),
		Effects: held, RestartServices: terms.GetRestartServices(), Locks: c.r.claimOf(c.rec.GetTask().GetAction()), BootId: c.r.cfg.BootID,
	}
}

// left returns how much time a lease has left, by whichever says less: the machine's clock, or the time that was left when it was noted
// last. A clock that was set back since says nothing.
func left(l *storagev1.JournalLease, now time.Time) time.Duration {
	now = now.Round(0)
	elapsed := max(0, now.Sub(l.GetSince().AsTime()))
	return max(0, min(l.GetTtl().AsDuration()-elapsed, l.GetUntil().AsTime().Sub(now)))
}

// hold takes charge of a lease that is in the journal.
func (r *Runner) hold(l *storagev1.JournalLease) {
	now := time.Now()
	h := &hold{lease: proto.CloneOf(l), end: now.Add(left(l, now))}
	for _, t := range r.touches(l.GetTask(), recordedAs(l.GetEffects())) {
		h.resources = append(h.resources, t.resource())
	}
	r.mu.Lock()
	r.holds = append(r.holds, h)
	r.mu.Unlock()
	r.awaitEnd(h, h.end)
	r.awaitNote(h)
}

// awaitEnd queues the end of a lease. A revert takes the locks like a task.
func (r *Runner) awaitEnd(h *hold, due time.Time) {
	e := &entry{
		who: fmt.Sprintf("the agent, which ends lease %q", h.lease.GetId()), claim: claim(h.lease.GetLocks()),
		due: due, obligation: h.ends(), run: func(ctx context.Context) { r.endInTime(ctx, h) },
	}
	if h.lease.GetTries() == 0 {
		e.clock = h.lease.GetUntil().AsTime()
	}
	r.requeue(e)
}

// ends and notes name what the queue has of a lease.
func (h *hold) ends() string  { return "end of lease " + h.lease.GetId() }
func (h *hold) notes() string { return "time of lease " + h.lease.GetId() }

// requeue queues an entry in place of the one of the same obligation.
func (r *Runner) requeue(e *entry) {
	r.mu.Lock()
	r.queue = slices.DeleteFunc(r.queue, func(other *entry) bool { return other.obligation == e.obligation })
	r.queue = append(r.queue, e)
	r.mu.Unlock()
	r.poke()
}

// awaitNote queues the next note of how much time a lease has left.
func (r *Runner) awaitNote(h *hold) {
	every := min(mostNote, max(leastNote, h.lease.GetTtl().AsDuration()/10))
	r.requeue(&entry{
		who: fmt.Sprintf("the agent, which notes what time lease %q has left", h.lease.GetId()), due: time.Now().Add(every),
		obligation: h.notes(), run: func(context.Context) { r.note(h) },
	})
}

// note journals how much time a lease has left, by the monotonic clock.
func (r *Runner) note(h *hold) {
	r.ending.Lock()
	defer r.ending.Unlock()
	now := time.Now()
	if h.ended || h.lease.GetTries() > 0 || !now.Before(h.end) {
		return
	}
	h.lease.Since, h.lease.Ttl = stamp(now), durationpb.New(h.end.Sub(now))
	if err := r.journal.PutLease(h.lease); err != nil {
		r.fail(err)
		return
	}
	r.awaitNote(h)
}

// endInTime ends a lease whose time is over. A revert that fails is tried again, at growing intervals.
func (r *Runner) endInTime(ctx context.Context, h *hold) {
	if ctx.Err() != nil {
		return
	}
	if err := r.end(ctx, h); err != nil && r.failure() == nil {
		after := retryAfter(h.lease.GetTries())
		r.log.Warn("a change whose time is over could not be put back", "lease", h.lease.GetId(), "task", nameOf(h.lease.GetTask()),
			"tries", h.lease.GetTries(), "again_in", after, "error", err)
		r.awaitEnd(h, time.Now().Add(after))
	}
}

// end puts back what a lease holds, as far as it is still as the task left it, restarts the services that it names, and lets go of the lease.
// It goes on to its end also when ctx has ended, and a crash in it is made good by the next try. What comes of it is news for the server.
func (r *Runner) end(ctx context.Context, h *hold) error {
	r.ending.Lock()
	defer r.ending.Unlock()
	if h.ended {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	again := h.lease.GetTries() > 0
	h.lease.Tries++
	if err := r.journal.PutLease(h.lease); err != nil {
		r.fail(err)
		return err
	}
	changed, outcome, err := r.revert(ctx, h.lease)
	if err == nil && (changed || again) {
		err = r.restartAfter(ctx, h.lease, again)
	}
	if err != nil {
		h.lease.LastError = clip(err.Error(), maxText)
		if r.journalledLease(r.journal.PutLease(h.lease)) == nil && h.lease.GetTries() == triesToTell {
			r.tellLease(h.lease)
		}
		return err
	}
	ended := endedLease(h.lease, outcome, time.Now())
	if err := r.journalledLease(r.journal.PutLease(ended)); err != nil {
		return err
	}
	r.forgetLease(h)
	r.tellLease(ended)
	r.log.Info("a lease has ended", "lease", h.lease.GetId(), "task", nameOf(h.lease.GetTask()), "tries", h.lease.GetTries())
	return nil
}

// forgetLease lets go of a lease that has ended in the journal. Called with ending held.
func (r *Runner) forgetLease(h *hold) {
	h.ended = true
	r.mu.Lock()
	r.holds = slices.DeleteFunc(r.holds, func(other *hold) bool { return other == h })
	r.queue = slices.DeleteFunc(r.queue, func(e *entry) bool { return e.obligation == h.ends() || e.obligation == h.notes() })
	r.mu.Unlock()
	r.letGo()
}

func (r *Runner) journalledLease(err error) error {
	if err != nil {
		r.fail(err)
	}
	return err
}

// revert puts back what a lease holds, the last touched first, and says whether anything was put back. What somebody has changed meanwhile is
// left alone, and outcome says so.
func (r *Runner) revert(ctx context.Context, l *storagev1.JournalLease) (changed bool, outcome string, err error) {
	var left []string
	var errs []error
	for _, t := range slices.Backward(r.touches(l.GetTask(), recordedAs(l.GetEffects()))) {
		u := r.restore(ctx, t)
		changed = changed || u.GetOutcome() == actionv1.UndoOutcome_UNDO_OUTCOME_DONE
		switch {
		case u.GetOutcome() == actionv1.UndoOutcome_UNDO_OUTCOME_CONFLICT:
			r.log.Warn("a change whose time is over was changed again by somebody and is left alone", "lease", l.GetId(), "resource", u.GetResource(), "reason", u.GetReason())
			left = append(left, u.GetResource()+": "+u.GetReason())
		case !isBack(u):
			errs = append(errs, fmt.Errorf("%s: %s", u.GetResource(), u.GetReason()))
		default:
			r.log.Info("a change whose time is over was put back", "lease", l.GetId(), "resource", u.GetResource(), "outcome", u.GetOutcome())
		}
	}
	return changed, clip(strings.Join(left, "; "), maxText), errors.Join(errs...)
}

// restartAfter restarts the services that a lease names, in order. One that does not run is left so, unless it may be an earlier try that
// stopped it.
func (r *Runner) restartAfter(ctx context.Context, l *storagev1.JournalLease, again bool) error {
	var errs []error
	for _, service := range l.GetRestartServices() {
		state, err := r.settled(ctx, service, settleTimeout)
		switch {
		case err != nil:
			errs = append(errs, err)
			continue
		case !state.GetInstalled(), state.GetDisabled(), !running(state) && !again:
			r.log.Info("a service that does not run is not restarted at the end of a lease", "lease", l.GetId(), "service", service)
			continue
		}
		if _, err := r.restartService(ctx, service); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Leases returns the changes that are still to end by themselves.
func (r *Runner) Leases() []*actionv1.LeaseState {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*actionv1.LeaseState
	for _, h := range r.holds {
		all = append(all, h.state())
	}
	return all
}

func (h *hold) state() *actionv1.LeaseState {
	return &actionv1.LeaseState{
		Id: h.lease.GetId(), Resources: slices.Clone(h.resources), Until: h.lease.GetUntil(), Job: h.lease.GetTask().GetJobId(),
	}
}

// leaseState is what a result says of the lease that comes with it.
func (r *Runner) leaseState(l *storagev1.JournalLease) *actionv1.LeaseState {
	h := &hold{lease: l}
	for _, t := range r.touches(l.GetTask(), recordedAs(l.GetEffects())) {
		h.resources = append(h.resources, t.resource())
	}
	return h.state()
}

// RevertLeases ends all leases now, for an agent that is about to be taken away: nobody would be there to end them. It must not be called
// beside Run or Recover. An error names what could not be put back; the rest was.
func (r *Runner) RevertLeases(ctx context.Context) error {
	leases, err := r.journal.Leases()
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range leases {
		if l.GetEnded() != nil {
			continue
		}
		if err := r.end(ctx, &hold{lease: l}); err != nil {
			errs = append(errs, fmt.Errorf("lease %q of job %q: %w", l.GetId(), l.GetTask().GetJobId(), err))
		}
	}
	return errors.Join(errs...)
}
