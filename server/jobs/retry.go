package jobs

import (
	"context"
	"errors"

	"google.golang.org/protobuf/types/known/durationpb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/requests"
)

// Retry makes a new job from one that is done, over those of its terminals on which it did not succeed. The same request_id
// answers with the same job.
func (e *Engine) Retry(ctx context.Context, p *access.Principal, r *fleetv1.RetryJobRequest) (*fleetv1.Job, error) {
	request, err := requests.New(p.Name.String(), "job.retry", r)
	if err != nil {
		return nil, err
	}
	if job, err := e.answered(ctx, p, request); job != nil || err != nil {
		return job, err
	}
	before, err := e.retriable(ctx, p, r.GetId())
	if err != nil {
		return nil, err
	}
	spec := again(before)
	if r.GetReason() != "" {
		spec.Reason = r.GetReason()
	}
	job, err := e.make(ctx, p, &asking{spec: spec, request: request, before: before})
	var no *refusal.Error
	if errors.As(err, &no) && no.Reason == "NOTHING_MATCHES" {
		return nil, errNothingToRetry(before.GetId(), "the terminals on which it did not succeed are no longer in service")
	}
	return job, err
}

// retriable returns a job that is done and has something to try again, where the caller may.
func (e *Engine) retriable(ctx context.Context, p *access.Principal, id string) (*fleetv1.Job, error) {
	job, err := e.Get(ctx, p, id)
	if err != nil {
		return nil, err
	}
	if job.GetState() != fleetv1.JobState_JOB_STATE_DONE {
		return nil, refusal.New(refusal.Precondition, "JOB_NOT_DONE", "job %q: is not done", job.GetId()).At("id").
			Then("wait for it, or cancel it, and try it again then")
	}
	rest, err := e.targets(ctx, job.GetId(), everywhere, true)
	if err != nil {
		return nil, err
	}
	if len(rest) == 0 {
		return nil, errNothingToRetry(job.GetId(), "succeeded everywhere")
	}
	sites := make([]string, len(rest))
	for i, t := range rest {
		sites[i] = t.site
	}
	o := access.Object{Kind: access.Job, Name: job.GetId(), Field: "id"}
	return job, access.CheckSites(p, access.Act, access.Every, o, sites)
}

func errNothingToRetry(id, why string) error {
	return refusal.New(refusal.Precondition, "NOTHING_TO_RETRY", "job %q: %s", id, why).At("id").
		Then("ask for a new job if something is still wrong")
}

// again asks for what a job was. What holds at one time only is not asked for again: neither the moment before which it did not
// start, nor the reason for which windows were lifted.
func again(job *fleetv1.Job) *fleetv1.JobSpec {
	begun := job.GetCreated().AsTime()
	if at := job.GetNotBefore(); at != nil {
		begun = at.AsTime()
	}
	return &fleetv1.JobSpec{
		Action: job.GetAction(), Params: job.GetParams(), DryRun: job.GetDryRun(), Reason: job.GetReason(),
		Selection: &fleetv1.Selection{FromJob: &fleetv1.FromJob{JobId: job.GetId(), Failed: true}},
		ExpiresIn: durationpb.New(job.GetExpires().AsTime().Sub(begun)),
		Rollout:   job.GetRollout(), InUse: job.GetInUse(), Approvals: job.GetApproval().GetNeeded(),
	}
}
