package jobs

import (
	"context"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
)

// Cancel takes back what has not started. It is no error when the job is done or cancelled already.
func (e *Engine) Cancel(ctx context.Context, p *access.Principal, id, reason string) (*fleetv1.Job, error) {
	if err := audit.CheckReason("reason", reason); err != nil {
		return nil, err
	}
	job, err := e.Get(ctx, p, id)
	if err != nil {
		return nil, err
	}
	if err := e.recordCancel(ctx, p, job.GetId(), reason); err != nil {
		return nil, err
	}
	return e.Get(ctx, p, id)
}

func (e *Engine) recordCancel(ctx context.Context, p *access.Principal, id, reason string) error {
	return e.amend(ctx, id, func(rec *storagev1.JobRecord) (*amendment, error) {
		if err := mayActOnAll(p, rec.GetJob()); err != nil {
			return nil, err
		}
		if rec.GetJob().GetCancelled() || rec.GetJob().GetState() == fleetv1.JobState_JOB_STATE_DONE {
			return nil, nil
		}
		return &amendment{entry: jobEntry(p.Name, "job.cancel", rec, reason), change: func(job *fleetv1.Job, _ *storagev1.JobRecord) {
			job.Cancelled, job.CancelledBy, job.CancelReason = true, p.Name.ID, reason
		}}, nil
	}, e.cancelled)
}

// cancelled takes back every task of a job that has not started. Those that were given a permit are the agent's to answer.
func (e *Engine) cancelled(j *job) {
	j.dismiss()
	for _, t := range j.tasks {
		sent := t.phase == held || t.phase == permitted
		e.expireOrCancel(t)
		if sent {
			e.takeBack(t.terminal.id, t.key(), cancelReason(j.rec.GetJob()))
		}
	}
}

// jobEntry is the audit record of what an operator did to a job. It stands in the chain of the job's site; a job over several
// sites concerns no single one.
func jobEntry(actor identity.Name, verb string, rec *storagev1.JobRecord, reason string) audit.Entry {
	entry := audit.Entry{Actor: actor, Verb: verb, Object: "job/" + rec.GetJob().GetId(), Reason: reason}
	if sites := rec.GetJob().GetSites(); len(sites) == 1 {
		entry.Site = sites[0]
	}
	return entry
}

// withdrawn reports whether somebody said that nothing more of a job may start.
func withdrawn(rec *fleetv1.Job) bool {
	return rec.GetCancelled() || rec.GetApproval().GetRejection() != nil
}

func cancelReason(rec *fleetv1.Job) string {
	if r := rec.GetApproval().GetRejection(); r != nil {
		return rejectReason(r)
	}
	if rec.GetCancelledBy() == byRollout {
		return "stopped by rollout: " + limitReached
	}
	reason := "cancelled by " + rec.GetCancelledBy()
	if rec.GetCancelReason() != "" {
		reason += ": " + rec.GetCancelReason()
	}
	return reason
}
