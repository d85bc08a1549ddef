package jobs

import (
	"context"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/store"
)

// Cancel takes back what has not started. It is no error when the job is done or cancelled already.
func (e *Engine) Cancel(ctx context.Context, p *access.Principal, id, reason string) (*fleetv1.Job, error) {
	if err := checkText("reason", reason); err != nil {
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
	var rec *storagev1.JobRecord
	changed := false
	err := e.st.Update(ctx, func(w store.Writer) (err error) {
		changed = false
		if rec, err = readJob(w, id); err != nil {
			return err
		}
		if err := mayActOnAll(p, rec.GetJob()); err != nil {
			return err
		}
		if rec.GetJob().GetCancelled() || rec.GetJob().GetState() == fleetv1.JobState_JOB_STATE_DONE {
			return nil
		}
		changed = true
		rec.Job.Cancelled, rec.Job.CancelledBy, rec.Job.CancelReason = true, p.Name.ID, reason
		if err := put(w, store.TableJobs, store.JobKey(id), rec); err != nil {
			return err
		}
		return audit.Append(w, e.now(), jobEntry(p.Name, "job.cancel", rec, reason))
	})
	if err != nil || !changed {
		return err
	}
	return e.do(context.WithoutCancel(ctx), func() { e.cancelled(rec) })
}

func mayActOnAll(p *access.Principal, job *fleetv1.Job) error {
	return access.CheckSites(p, access.Act, access.Every, access.Object{Kind: access.Job, Name: job.GetId(), Field: "id"}, job.GetSites())
}

// cancelled takes back every task of a job that has not started. Those that were given a permit are the agent's to answer.
func (e *Engine) cancelled(rec *storagev1.JobRecord) {
	j := e.byID[rec.GetJob().GetId()]
	if j == nil {
		return
	}
	j.rec = proto.CloneOf(rec)
	j.changedItself()
	e.dismiss(j)
	for _, t := range j.tasks {
		sent := t.phase == held || t.phase == permitted
		e.expireOrCancel(t)
		if sent {
			e.takeBack(t.terminal.id, t.key(), cancelReason(rec.GetJob()))
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

func cancelReason(rec *fleetv1.Job) string {
	reason := "cancelled by " + rec.GetCancelledBy()
	if rec.GetCancelReason() != "" {
		reason += ": " + rec.GetCancelReason()
	}
	return reason
}
