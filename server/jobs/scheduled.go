package jobs

import (
	"context"
	"errors"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/store"
)

// CreateScheduled makes a job of a schedule, in the name of p. The same request_id of the same schedule answers with the same job.
func (e *Engine) CreateScheduled(ctx context.Context, p *access.Principal, schedule string, r *fleetv1.CreateJobRequest) (*fleetv1.Job, error) {
	request, err := requests.New(p.Name.String(), "schedule.job/"+schedule, r)
	if err != nil {
		return nil, err
	}
	if job, err := e.answered(ctx, p, request); job != nil || err != nil {
		return job, err
	}
	return e.make(ctx, p, &asking{spec: r.GetSpec(), request: request, schedule: schedule})
}

// Outline resolves and checks a job without creating it: at which sites its targets are, and whether it changes something there.
func (e *Engine) Outline(ctx context.Context, p *access.Principal, spec *fleetv1.JobSpec) (sites []string, changes bool, err error) {
	d, err := e.draft(ctx, p, spec)
	if err != nil {
		return nil, false, err
	}
	return d.sites(), d.changes, nil
}

// Active says whether a job is not done. One that is not known is done.
func (e *Engine) Active(ctx context.Context, id string) (active bool, err error) {
	err = e.st.View(ctx, func(s store.Snapshot) error {
		rec, err := readJob(s, id)
		switch rec.GetJob().GetState() {
		case fleetv1.JobState_JOB_STATE_PREPARING, fleetv1.JobState_JOB_STATE_ACTIVE:
			active = true
		}
		if no, ok := errors.AsType[*refusal.Error](err); ok && no.Kind == refusal.NotFound {
			return nil
		}
		return err
	})
	return active, err
}
