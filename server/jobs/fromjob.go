package jobs

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// choose resolves a whole selection: what the inventory knows of, an earlier job, and the limit, in this order. It is the one
// place that does, so that a job means the terminals that its preview showed.
func (e *Engine) choose(ctx context.Context, p *access.Principal, sel *fleetv1.Selection) ([]*storagev1.TerminalRecord, error) {
	if err := checkLimit(sel.GetLimit()); err != nil {
		return nil, err
	}
	found, err := e.chooseUnlimited(ctx, p, sel)
	if err != nil {
		return nil, err
	}
	return limited(found, sel.GetLimit()), nil
}

func (e *Engine) chooseUnlimited(ctx context.Context, p *access.Principal, sel *fleetv1.Selection) ([]*storagev1.TerminalRecord, error) {
	if sel.GetFromJob() == nil && sel.GetLimit() == nil {
		return e.inv.Select(ctx, p, access.Act, sel)
	}
	rest := proto.CloneOf(sel)
	rest.FromJob, rest.Limit = nil, nil
	if sel.GetFromJob() == nil {
		return e.inv.Select(ctx, p, access.Act, rest)
	}
	ids, err := e.targetsOf(ctx, p, sel.GetFromJob())
	if err != nil {
		return nil, err
	}
	found, err := e.chosenAmong(ctx, p, rest, ids)
	if err == nil && len(found) == 0 {
		return nil, refusal.New(refusal.NotFound, "NOTHING_MATCHES", "selection: no terminal of job %q matches", sel.GetFromJob().GetJobId()).
			At("selection.from_job").Then("look at `fleetctl job show %s`", strings.ToUpper(sel.GetFromJob().GetJobId()))
	}
	return found, err
}

// chosenAmong returns those of an earlier job's terminals that the rest of the selection means. When it says nothing more, all of
// them are meant.
func (e *Engine) chosenAmong(ctx context.Context, p *access.Principal, rest *fleetv1.Selection, ids []string) ([]*storagev1.TerminalRecord, error) {
	if proto.Equal(rest, &fleetv1.Selection{}) {
		return e.inService(ctx, p, ids)
	}
	among := make(map[string]bool, len(ids))
	for _, id := range ids {
		among[id] = true
	}
	found, err := e.inv.Select(ctx, p, access.Act, rest)
	if err != nil {
		return nil, err
	}
	var kept []*storagev1.TerminalRecord
	for _, rec := range found {
		if among[rec.GetTerminal().GetId()] {
			kept = append(kept, rec)
		}
	}
	return kept, nil
}

// inService reads terminals by id. Those that were decommissioned or moved out of sight since are left out; one on which the
// caller may not act is refused, as it would be if it were named.
func (e *Engine) inService(ctx context.Context, p *access.Principal, ids []string) ([]*storagev1.TerminalRecord, error) {
	var found []*storagev1.TerminalRecord
	for _, id := range ids {
		rec, err := e.inv.Terminal(ctx, id)
		if err != nil {
			return nil, err
		}
		site := rec.GetTerminal().GetSite()
		if rec.GetTerminal().GetState() == fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED || !p.May(access.Read, site) {
			continue
		}
		o := access.Object{Kind: access.Terminal, Name: id, Field: "selection.from_job"}
		if err := access.CheckSites(p, access.Act, access.Every, o, []string{site}); err != nil {
			return nil, err
		}
		found = append(found, rec)
	}
	return found, nil
}

// targetsOf returns the terminals of an earlier job that lay on sites which the caller may read, by id.
func (e *Engine) targetsOf(ctx context.Context, p *access.Principal, from *fleetv1.FromJob) ([]string, error) {
	job, err := e.Get(ctx, p, from.GetJobId())
	if err != nil {
		var no *refusal.Error
		if errors.As(err, &no) {
			return nil, no.At("selection.from_job.job_id")
		}
		return nil, err
	}
	if from.GetFailed() && job.GetState() != fleetv1.JobState_JOB_STATE_DONE {
		return nil, refusal.New(refusal.Precondition, "JOB_NOT_DONE", "job %q: is not done, so nobody knows yet where it fails", job.GetId()).
			At("selection.from_job").Then("wait for it, or cancel it")
	}
	targets, err := e.targets(ctx, job.GetId(), sees(p), from.GetFailed())
	var ids []string
	for _, t := range targets {
		ids = append(ids, t.id)
	}
	return ids, err
}

// place is where a task was.
type place struct{ id, site string }

// targets reads where a job's tasks were, in frozen order; with failed, only those on which it neither succeeded nor was
// needless.
func (e *Engine) targets(ctx context.Context, id string, seen scope, failed bool) ([]place, error) {
	var found []place
	err := e.st.View(ctx, func(s store.Snapshot) error {
		found = nil
		var bad error
		err := s.Scan(store.TableTasks, store.JobKey(id), nil, func(_, value []byte) bool {
			var rec *storagev1.TaskRecord
			if rec, bad = parseTask(id, value); bad != nil {
				return false
			}
			t := rec.GetTask()
			if seen(t.GetSite()) && (!failed || !served(t.GetStatus())) {
				found = append(found, place{t.GetTerminalId(), t.GetSite()})
			}
			return true
		})
		if err == nil {
			err = bad
		}
		return err
	})
	return found, err
}

// served reports whether a task with this status needs no other try.
func served(s actionv1.TaskStatus) bool {
	return s == actionv1.TaskStatus_TASK_STATUS_SUCCEEDED || s == actionv1.TaskStatus_TASK_STATUS_NO_CHANGE
}
