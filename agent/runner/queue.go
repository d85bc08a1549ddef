package runner

import (
	"context"
	"fmt"
	"slices"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// entry is something that waits to run: a task that needs a permit, a task to be taken up after a crash, an obligation, or the end of a
// lease.
type entry struct {
	// task is nil for an obligation, and obligation is empty for a task.
	task       *agentv1.Task
	obligation string
	// who says what it is, for whoever waits for it ("job j-17").
	who   string
	claim claim
	// needsPermit is true for a task that has not started. permit is the last moment at which it may, zero for none.
	needsPermit bool
	permit      time.Time
	// own is true for a task that the agent asked of itself: it needs no permit, and is taken back when a session begins.
	own bool
	// due is the first moment at which an entry without a permit may run; clock, unless zero, the same by the machine's clock, whichever
	// comes first.
	due, clock time.Time
	// free is since when its locks are free for it, zero when they are not or nobody has looked.
	free time.Time
	// blocked is what was in the way when the entry could have run otherwise.
	blocked obstacle
	// told is the last reason that the server was told of on this session.
	told agentv1.HoldReason
	run  func(ctx context.Context)
}

// obstacle is why a permit was not used.
type obstacle struct {
	reason agentv1.HoldReason
	// what is it, for people: "ble, held by job j-17".
	what string
}

// newEntry makes the entry of a task that was accepted.
func (r *Runner) newEntry(t *agentv1.Task) *entry {
	e := &entry{task: t, who: "job " + t.GetKey().GetJobId(), claim: r.claimOf(t.GetAction()), needsPermit: true, own: IsOwn(t.GetKey())}
	e.run = func(ctx context.Context) { r.begin(ctx, t) }
	return e
}

// claimOf returns what an action needs for itself; all of the machine when nobody knows the action any more.
func (r *Runner) claimOf(action string) claim {
	_, a, ok := r.plugins.Find(action)
	if !ok {
		return claim{everything}
	}
	return claimFor(a)
}

func (r *Runner) enqueue(e *entry) {
	r.mu.Lock()
	r.queue = append(r.queue, e)
	r.mu.Unlock()
	r.poke()
}

// Run starts what may start, until ctx ends or the journal fails. It returns when all that ran has ended or was given up for
// the next process to settle; nothing that it stopped stays stopped.
func (r *Runner) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer r.courses.Wait()
	defer cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if err := r.failure(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		timer.Reset(r.step(ctx))
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-timer.C:
		}
	}
}

// step does all that is due now and returns how long until something is due again.
func (r *Runner) step(ctx context.Context) time.Duration {
	r.mu.Lock()
	now := time.Now()
	expired := r.takeExpired()
	lapsed := r.takeLapsed(now)
	ready := r.takeReady(now)
	blocked := r.takeBlocked()
	look := r.takeLook()
	wait := r.untilDue(now)
	r.mu.Unlock()
	if look {
		r.courses.Go(func() { r.look(ctx) })
	}
	for _, e := range expired {
		r.close(e.task.GetKey(), unstarted(actionv1.TaskStatus_TASK_STATUS_EXPIRED, "it had not started when its time was over", "ask for the job again"))
	}
	for _, e := range lapsed {
		r.report().PermitRequest(e.key, e.obstacle.reason, e.obstacle.what)
	}
	for _, e := range blocked {
		r.report().Blocked(e.key, e.obstacle.reason, e.obstacle.what)
	}
	for _, e := range ready {
		r.courses.Go(func() { r.occupy(ctx, e) })
	}
	return wait
}

// occupy runs an entry and frees its locks.
func (r *Runner) occupy(ctx context.Context, e *entry) {
	defer func() {
		r.mu.Lock()
		r.running = slices.DeleteFunc(r.running, func(other *entry) bool { return other == e })
		r.mu.Unlock()
		r.poke()
	}()
	e.run(ctx)
}

// takeExpired removes the waiting tasks whose time is over. Before the server has told its time, nothing is judged.
func (r *Runner) takeExpired() []*entry {
	if !r.clock.known() {
		return nil
	}
	now := r.clock.now()
	var expired []*entry
	r.queue = slices.DeleteFunc(r.queue, func(e *entry) bool {
		over := e.needsPermit && !now.Before(e.task.GetExpires().AsTime())
		if over {
			expired = append(expired, e)
		}
		return over
	})
	return expired
}

// lapse is a permit that is not used, or was not in time, and why.
type lapse struct {
	key      *agentv1.TaskKey
	obstacle obstacle
}

func (r *Runner) takeLapsed(now time.Time) []lapse {
	var lapsed []lapse
	for _, e := range r.queue {
		if e.permit.IsZero() || permits(e.permit, now) {
			continue
		}
		lapsed = append(lapsed, lapse{e.task.GetKey(), e.blocked})
		e.permit, e.blocked, e.told = time.Time{}, obstacle{}, e.blocked.reason
	}
	return lapsed
}

// takeBlocked finds the permitted tasks that have met what the server was not told of, once for each reason on a session. They keep
// their permits.
func (r *Runner) takeBlocked() []lapse {
	var blocked []lapse
	for _, e := range r.queue {
		looking := e.blocked.reason == agentv1.HoldReason_HOLD_REASON_IN_USE && r.presence.busy == ""
		if e.permit.IsZero() || e.blocked.reason == e.told || looking {
			continue
		}
		e.told = e.blocked.reason
		blocked = append(blocked, lapse{e.task.GetKey(), e.blocked})
	}
	return blocked
}

// takeReady removes what may run now from the queue, in order of arrival. Who waits for a lock keeps everybody behind him
// from taking it first, so that nobody waits for ever.
func (r *Runner) takeReady(now time.Time) []*entry {
	ahead := slices.Clone(r.running)
	var ready, rest []*entry
	for _, e := range r.queue {
		switch blocker := firstConflict(ahead, e.claim); {
		case !e.mayRun(now):
			rest = append(rest, e)
			continue
		case blocker != "":
			e.keepWaiting(blocker)
			rest = append(rest, e)
		case len(r.running) >= r.cfg.MaxConcurrent:
			e.keepWaiting(fmt.Sprintf("%d other tasks that run on this terminal", len(r.running)))
			rest = append(rest, e)
		case e.waitsForQuiet() && r.disturbs(e, now):
			// It keeps nobody from the locks: how long a person stays is not known.
			rest = append(rest, e)
			continue
		default:
			r.running = append(r.running, e)
			ready = append(ready, e)
		}
		ahead = append(ahead, e)
	}
	r.queue = rest
	return ready
}

// keepWaiting notes which locks, or how many others, are in the way.
func (e *entry) keepWaiting(what string) {
	e.blocked = obstacle{agentv1.HoldReason_HOLD_REASON_LOCK, what}
	e.free = time.Time{}
}

func (e *entry) mayRun(now time.Time) bool {
	if e.own && e.needsPermit {
		return true
	}
	if e.needsPermit {
		return permits(e.permit, now)
	}
	return !now.Before(e.due) || (!e.clock.IsZero() && !now.Round(0).Before(e.clock))
}

// permits says whether a permit that ends at until is still good: by the monotonic clock, which nobody can set, and by the
// machine's clock too, because the monotonic one stands still while the machine sleeps. A clock that is set meanwhile can
// only make a permit lapse early, and then another is asked for.
func permits(until, now time.Time) bool {
	return now.Before(until) && now.Round(0).Before(until.Round(0))
}

// idle is how long Run waits when nothing is due at a known time.
const idle = time.Hour

// untilDue returns how long until a permit lapses, a task expires, an obligation is due or the machine is to be looked at again.
func (r *Runner) untilDue(now time.Time) time.Duration {
	wait := idle
	sooner := func(d time.Duration) { wait = max(0, min(wait, d)) }
	for _, e := range r.queue {
		switch {
		case !e.needsPermit:
			if e.due.After(now) {
				sooner(e.due.Sub(now))
			}
			if !e.clock.IsZero() && !e.mayRun(now) {
				// The clock may be set, and the machine may sleep, while nobody wakes this loop.
				sooner(min(leastNote, e.clock.Sub(now.Round(0))))
			}
		case !e.permit.IsZero():
			sooner(e.permit.Sub(now))
			sooner(r.untilLook(e, now))
		case e.own:
			sooner(r.untilLook(e, now))
		}
		if e.needsPermit && r.clock.known() {
			sooner(e.task.GetExpires().AsTime().Sub(r.clock.now()))
		}
	}
	return wait
}
