package policy

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	// lookEvery is how often is looked at the latest, whatever was heard.
	lookEvery = time.Minute
	// dueAtOnce is how many faults are taken up at a time, and sideBySide how many of them are decided on at once: their writes share
	// commits.
	dueAtOnce  = 200
	sideBySide = 16
	// retryAfter is how long a fault is left alone whose decision has failed.
	retryAfter = 15 * time.Second
	// pageSize is how many faults are read at a time.
	pageSize = 500
	// serverName is in whose name the engine reads.
	serverName = "fleetd"
)

// Run decides on faults as they come and as their times come, until ctx ends.
func (e *Engine) Run(ctx context.Context) {
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { e.watchJobs(ctx) })
	beside.Go(func() { e.watchCatalogue(ctx) })
	for ctx.Err() == nil {
		changed := e.cfg.Faults.Changes()
		select {
		case <-e.again:
			if err := e.lookAtAll(ctx); err != nil && ctx.Err() == nil {
				e.cfg.Log.Error("faults were not all looked at anew; they are at their next time", "error", err)
			}
		default:
		}
		more, err := e.lookAtDue(ctx)
		if err != nil && ctx.Err() == nil {
			e.cfg.Log.Error("faults that are due could not be read; they are again in a minute", "error", err)
		}
		if !more {
			e.wait(ctx, changed)
		}
	}
}

// watchJobs tells the faults when jobs that are for them are done.
func (e *Engine) watchJobs(ctx context.Context) {
	for event := range e.cfg.Store.Watch(ctx, store.TableActiveJobs) {
		if event.Resync {
			hint(e.again)
			continue
		}
		job, err := e.cfg.Jobs.Stored(ctx, string(event.Key))
		if err == nil && job.GetFaultId() != "" && job.GetState() == fleetv1.JobState_JOB_STATE_DONE {
			// Not while a decision is under way: it may just be writing into the fault that the job is at it.
			err = e.alone(job.GetFaultId(), func() error { return e.cfg.Faults.JobDone(ctx, job) })
		}
		if err != nil && !isNotFound(err) && ctx.Err() == nil {
			e.cfg.Log.Error("a fault was not told that its job is done; it is looked at anew", "job", string(event.Key), "error", err)
			hint(e.again)
		}
	}
}

// watchCatalogue thinks anew when other entries are in force.
func (e *Engine) watchCatalogue(ctx context.Context) {
	for {
		changed := e.cfg.Catalogue.Changed()
		select {
		case <-changed:
			e.rethink()
		case <-ctx.Done():
			return
		}
	}
}

// wait waits until something may be due.
func (e *Engine) wait(ctx context.Context, changed <-chan struct{}) {
	timer := time.NewTimer(e.untilDue(ctx))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-e.again:
		hint(e.again)
	case <-ctx.Done():
	}
}

// untilDue is how long it is until the next fault is due, as far as that is known.
func (e *Engine) untilDue(ctx context.Context) time.Duration {
	at, err := e.cfg.Faults.NextDue(ctx)
	if err != nil || at.IsZero() {
		return lookEvery
	}
	return min(lookEvery, max(10*time.Millisecond, at.Sub(e.cfg.Now())))
}

// lookAtDue decides on what is due, and reports whether there may be more of it.
func (e *Engine) lookAtDue(ctx context.Context) (more bool, err error) {
	due, err := e.cfg.Faults.Due(ctx, dueAtOnce)
	if err != nil {
		return false, err
	}
	e.decideAll(ctx, due)
	return len(due) == dueAtOnce, nil
}

// lookAtAll decides anew on every fault that is open and not held: what it goes by has changed.
func (e *Engine) lookAtAll(ctx context.Context) error {
	open, err := e.cfg.Faults.Decidable(ctx)
	if err != nil {
		return err
	}
	e.decideAll(ctx, open)
	return nil
}

// open reads all faults that are not resolved, at a site.
func (e *Engine) open(ctx context.Context, site string) (all []*fleetv1.Fault, err error) {
	r := &fleetv1.ListFaultsRequest{Site: site, PageSize: pageSize}
	for {
		page, err := e.cfg.Faults.List(ctx, principal(serverName), r)
		if err != nil {
			return nil, err
		}
		all = append(all, page.GetFaults()...)
		if r.PageToken = page.GetNextPageToken(); r.GetPageToken() == "" {
			return all, nil
		}
	}
}

// decideAll decides on faults, some side by side. One that fails is tried again; the others are not disturbed.
func (e *Engine) decideAll(ctx context.Context, faults []*fleetv1.Fault) {
	var all errgroup.Group
	all.SetLimit(sideBySide)
	for _, f := range faults {
		all.Go(func() error {
			if err := e.decide(ctx, f.GetId()); err != nil && ctx.Err() == nil {
				e.cfg.Log.Error("a fault could not be decided on; it is tried again", "fault", f.GetId(), "error", err)
				e.later(ctx, f.GetId(), err)
			}
			return nil
		})
	}
	_ = all.Wait() // nothing above fails
}

// later has a fault looked at again when its decision has failed, and says so where people look.
func (e *Engine) later(ctx context.Context, id string, failed error) {
	again := e.cfg.Now().Add(retryAfter)
	_, err := e.cfg.Faults.Decide(ctx, id, again, func(f *fleetv1.Fault) error {
		f.Decision = clip(fmt.Sprintf("not decided: %v", failed))
		return nil
	})
	if err != nil && !isNotFound(err) && ctx.Err() == nil {
		e.cfg.Log.Error("a fault could not be put off", "fault", id, "error", err)
	}
}

// alone runs fn while nobody else acts upon the same fault, however its id is spelt.
func (e *Engine) alone(id string, fn func() error) error {
	h := fnv.New32a()
	_, _ = h.Write([]byte(strings.ToUpper(id))) // a hash takes anything
	mu := &e.acting[h.Sum32()%uint32(len(e.acting))]
	mu.Lock()
	defer mu.Unlock()
	return fn()
}
