package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// checkLease says why an effect may not end by itself. How long it may last is this terminal's to say: see refusedByLease.
func checkLease(e *actionv1.Effect, d deed) error {
	switch l := e.GetLease(); {
	case l == nil:
		return nil
	case d.inverse() != actionv1.Inverse_INVERSE_EXACT || changesNothing(e):
		return fmt.Errorf("%s is to be put back by itself, which only what can be put back exactly may be", d.resource())
	case l.GetTtl().AsDuration() <= 0:
		return fmt.Errorf("%s is to be put back by itself, and there is no word after what time", d.resource())
	case len(l.GetRestartServices()) > maxRestarts:
		return fmt.Errorf("it restarts %d services at its end, at most %d are allowed", len(l.GetRestartServices()), maxRestarts)
	}
	return nil
}

// oneLease wants the effects of a plan that end by themselves to end together.
func oneLease(plan *actionv1.Plan) error {
	var terms *actionv1.Lease
	for _, e := range plan.GetEffects() {
		l := e.GetEffect().GetLease()
		switch {
		case l == nil:
		case terms == nil:
			terms = l
		case !proto.Equal(terms, l):
			return fmt.Errorf("effect %q ends at another time, or restarts other services, than one before it", e.GetId())
		}
	}
	return nil
}

// refusedByLease says why a plan that is right in itself may not be carried out on this terminal now: its own lease would be too short or
// too long, or another one holds what it changes.
func (c *course) refusedByLease(plan *actionv1.Plan) *failure {
	var released []string
	for _, e := range plan.GetEffects() {
		if fail := c.refusedTime(e.GetEffect().GetLease()); fail != nil {
			return fail
		}
		if release := e.GetEffect().GetLeaseRelease(); release != nil {
			released = append(released, release.GetId())
		}
		if h := c.holderOf(e); h != nil && !slices.Contains(released, h.lease.GetId()) {
			return heldBack(e, h)
		}
	}
	return nil
}

func (c *course) refusedTime(l *actionv1.Lease) *failure {
	least, ttl := c.r.cfg.MinLease, l.GetTtl().AsDuration()
	if l == nil || (ttl >= least && ttl <= mostLease) {
		return nil
	}
	return &failure{
		reason:   fmt.Sprintf("its change would be put back after %s; this terminal takes %s to %s", ttl, least, mostLease),
		nextStep: "ask for the job again with a time within that", refused: true,
	}
}

// holderOf returns the lease that holds what an effect changes, nil for none.
func (c *course) holderOf(e *actionv1.PlannedEffect) *hold {
	if e.GetEffect().GetConfirm() != nil || changesNothing(e.GetEffect()) {
		return nil
	}
	d, err := c.deedOf(e.GetId(), e.GetEffect())
	if err != nil {
		return nil
	}
	return c.r.holder(d.resource())
}

// holder returns the lease that holds a resource, nil for none. Windows takes names in any case for one.
func (r *Runner) holder(resource string) *hold {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.holds {
		if slices.ContainsFunc(h.resources, func(held string) bool { return strings.EqualFold(held, resource) }) {
			return h
		}
	}
	return nil
}

func heldBack(e *actionv1.PlannedEffect, h *hold) *failure {
	until := h.lease.GetUntil().AsTime().UTC().Format(time.RFC3339)
	return &failure{
		reason: fmt.Sprintf("effect %q would change what lease %q of job %q holds until %s (%v)",
			e.GetId(), h.lease.GetId(), h.lease.GetTask().GetJobId(), until, h.resources),
		nextStep: "wait for its end, or end it with the action that made it, then ask for the job again", refused: true,
	}
}

// releaseDeed ends a lease now.
type releaseDeed struct {
	work
	irrevocable
	id string
}

func (d releaseDeed) resource() string       { return fmt.Sprintf("lease %q", d.id) }
func (d releaseDeed) timeout() time.Duration { return maxEffectTimeout }

// check wants the locks that the lease's own end would take.
func (d releaseDeed) check(a *actionv1.Action) error {
	if d.id == "" {
		return fmt.Errorf("it names no lease")
	}
	h := d.r.leaseByID(d.id)
	own := claimFor(a)
	if h == nil || slices.Contains(own, everything) {
		return nil
	}
	for _, lock := range h.lease.GetLocks() {
		if !slices.Contains(own, lock) {
			return fmt.Errorf("%s holds %q, which the action does not claim", d.resource(), lock)
		}
	}
	return nil
}

func (r *Runner) leaseByID(id string) *hold {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.holds {
		if h.lease.GetId() == id {
			return h
		}
	}
	return nil
}

func (d releaseDeed) read(context.Context) (*actionv1.State, error) {
	state := &actionv1.LeaseState{Id: d.id, Ended: true}
	if h := d.r.leaseByID(d.id); h != nil {
		state = h.state()
	}
	return &actionv1.State{State: &actionv1.State_Lease{Lease: state}}, nil
}

// do ends the lease. One that has ended already is as wanted.
func (d releaseDeed) do(ctx context.Context, _ *actionv1.State) (*actionv1.State, error) {
	h := d.r.leaseByID(d.id)
	if h == nil {
		return nil, nil
	}
	err := d.r.end(ctx, h)
	if err != nil && d.r.failure() == nil {
		d.r.awaitEnd(h, time.Now().Add(retryAfter(h.lease.GetTries())))
	}
	return nil, err
}

func (d releaseDeed) reached(now *actionv1.State) error {
	if !now.GetLease().GetEnded() {
		return fmt.Errorf("%s: has not ended", d.resource())
	}
	return nil
}

// queryLeases answers which leases there are.
func (p *phaseCalls) queryLeases() *actionv1.QueryResult {
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_Leases{Leases: &actionv1.LeaseList{Leases: p.c.r.Leases()}}}
}

// closeLeased ends a task that has succeeded, and takes charge of what of it is to end by itself.
func (r *Runner) closeLeased(result *actionv1.TaskResult, l *storagev1.JournalLease) {
	if err := r.journal.FinishLeased(l.GetTask(), result, time.Now(), l); err != nil {
		r.fail(err)
		return
	}
	r.log.Info("a lease has begun", "lease", l.GetId(), "task", nameOf(l.GetTask()), "until", l.GetUntil().AsTime())
	r.hold(l)
	r.closed(l.GetTask(), result)
}
