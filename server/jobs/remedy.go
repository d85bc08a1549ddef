package jobs

import (
	"context"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/store"
)

// PolicyRequester is what the name of whoever asked for a job begins with when that is a policy. No operator can have such a name.
const PolicyRequester = "policy "

// Remedy is the fault that a job is for.
type Remedy struct {
	// FaultID names the fault, and Policy what asks for the job; empty when a person does.
	FaultID, Policy string
	// Entry and Subject are the fault's, for its terminal's agent, which counts attempts by them. Empty when the job runs elsewhere.
	Entry, Subject string
	// Step of the catalogue's remedy, from 1, and Request, an id: the same of both for the same fault answers with the same job, whatever
	// else is asked.
	Step    uint32
	Request string
}

// CreateRemedy makes a job that is to remedy a fault, in the name of p.
func (e *Engine) CreateRemedy(ctx context.Context, p *access.Principal, r Remedy, spec *fleetv1.JobSpec) (*fleetv1.Job, error) {
	asked := &fleetv1.FixFaultRequest{Id: r.FaultID, Step: r.Step, RequestId: r.Request}
	request, err := requests.New(p.Name.String(), "fault.fix", asked)
	if err != nil {
		return nil, err
	}
	if job, err := e.answered(ctx, p, request); job != nil || err != nil {
		return job, err
	}
	return e.make(ctx, p, &asking{spec: spec, request: request, remedy: &r})
}

// note writes into a job's record what it is for.
func (r *Remedy) note(rec *storagev1.JobRecord) {
	if r == nil {
		return
	}
	rec.Job.FaultId, rec.Job.Policy = r.FaultID, r.Policy
	if r.Policy != "" {
		rec.Job.Requester = PolicyRequester + r.Policy
	}
	if r.Entry != "" {
		rec.Remedies = &agentv1.Remedies{Entry: r.Entry, Subject: r.Subject, Policy: r.Policy}
	}
}

// Stored reads a job as it is on disk, whoever asks: it may be a little behind what runs, and never behind what the store's watch has told.
func (e *Engine) Stored(ctx context.Context, id string) (job *fleetv1.Job, err error) {
	err = e.st.View(ctx, func(s store.Snapshot) error {
		rec, err := readJob(s, id)
		if err == nil && hidden(rec.GetJob()) {
			err = errNoJob(id)
		}
		job = rec.GetJob()
		return err
	})
	return job, err
}
