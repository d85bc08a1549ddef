package faults

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// JobDone tells that a job is done that was to remedy a fault (its fault_id). The fault is open again, and due at once, until its agent
// says that it is gone; when the agent was faster, the job is what ended it. It may be repeated; a job without a fault is passed over.
func (d *Desk) JobDone(ctx context.Context, job *fleetv1.Job) error {
	if job.GetFaultId() == "" {
		return nil
	}
	err := d.cfg.Store.Update(ctx, func(w store.Writer) error {
		rec, err := mustFault(w, job.GetFaultId())
		if err != nil {
			return err
		}
		return d.jobDone(w, rec, job)
	})
	var no *refusal.Error
	if errors.As(err, &no) && no.Kind == refusal.NotFound {
		return nil
	}
	d.hint.give()
	return err
}

func (d *Desk) jobDone(w store.Writer, rec *storagev1.FaultRecord, job *fleetv1.Job) error {
	before, f, now := proto.CloneOf(rec), rec.GetFault(), d.cfg.Now()
	helped, err := hasHelped(w, job.GetId())
	if err != nil {
		return err
	}
	if f.GetJobId() != job.GetId() && rec.GetJobAtEnd() != job.GetId() {
		return nil
	}
	how := "job " + job.GetId()
	if helped {
		rec.Helped = how
	}
	if !isOpen(f) {
		rec.JobAtEnd = ""
		if helped && f.GetResolvedBy() == byItself {
			f.ResolvedBy = how
			note(f, now, "server", fmt.Sprintf("%s (%s) is done: succeeded; this is what resolved it", how, line(job.GetAction(), maxName)))
			f.History[len(f.GetHistory())-1].JobId = job.GetId()
		}
		return save(w, before, rec)
	}
	f.JobId = ""
	if f.GetState() == fleetv1.FaultState_FAULT_STATE_REMEDIATING {
		f.State = fleetv1.FaultState_FAULT_STATE_OPEN
	}
	note(f, now, "server", fmt.Sprintf("%s (%s) is done: %s", how, line(job.GetAction(), maxName), map[bool]string{true: "succeeded", false: "did not help"}[helped]))
	f.History[len(f.GetHistory())-1].JobId = job.GetId()
	if f.GetIncident() == "" {
		rec.Due = timestamppb.New(now)
	}
	return d.keep(w, before, rec, "fault.job-done", identity.Name{}, "")
}
