package jobs

import (
	"context"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// Pause lets nothing more of a job start, not even what was sent already. It is no error when the job is paused; who paused it
// first stays on the record.
func (e *Engine) Pause(ctx context.Context, p *access.Principal, id, reason string) (*fleetv1.Job, error) {
	pause := &fleetv1.Pause{Time: timestamppb.New(e.now()), By: p.Name.ID, Reason: reason}
	return e.order(ctx, p, id, reason, func(rec *storagev1.JobRecord) *amendment {
		if rec.GetJob().GetPause() != nil {
			return nil
		}
		return &amendment{entry: jobEntry(p.Name, "job.pause", rec, reason), change: func(job *fleetv1.Job, _ *storagev1.JobRecord) { job.Pause = pause }}
	}, e.paused)
}

// Resume lets a paused job go on. Failures up to now no longer count. It is no error when the job is not paused.
func (e *Engine) Resume(ctx context.Context, p *access.Principal, id, reason string) (*fleetv1.Job, error) {
	shown, err := e.Get(ctx, p, id)
	if err != nil {
		return nil, err
	}
	var past past
	err = e.do(ctx, func() {
		if j := e.byID[shown.GetId()]; j != nil {
			past = j.past()
		}
	})
	if err != nil {
		return nil, err
	}
	since := timestamppb.New(e.now())
	return e.order(ctx, p, id, reason, func(rec *storagev1.JobRecord) *amendment {
		if rec.GetJob().GetPause() == nil {
			return nil
		}
		return &amendment{entry: jobEntry(p.Name, "job.resume", rec, reason), change: func(job *fleetv1.Job, rec *storagev1.JobRecord) {
			endPause(job, since, p.Name.ID, reason)
			rec.Forgiven, rec.CountedSince = uint32(past.failures), since
			rec.Unwatched = append(rec.GetUnwatched(), past.sick...)
		}}
	}, func(j *job) { e.resumed(j, past) })
}

// past is what counts no more when a job is resumed: its first failures, and the tasks whose terminals are sick.
type past struct {
	failures int
	sick     []uint32
}

func (j *job) past() past {
	p := past{failures: len(j.failed)}
	for _, t := range j.soak.ill() {
		p.sick = append(p.sick, t.index)
	}
	return p
}

// maxPastPauses bounds what is kept of a job's pauses; the audit record has them all.
const maxPastPauses = 100

// endPause puts the present pause, if there is one, to those that are over.
func endPause(job *fleetv1.Job, at *timestamppb.Timestamp, by, reason string) {
	if job.GetPause() == nil {
		return
	}
	over := proto.CloneOf(job.GetPause())
	over.Ended, over.EndedBy, over.EndReason = at, by, reason
	job.PastPauses = append(job.PastPauses, over)
	job.PastPauses = job.PastPauses[max(0, len(job.PastPauses)-maxPastPauses):]
	job.Pause = nil
}

// order carries out what an operator says to a job that is not done.
func (e *Engine) order(ctx context.Context, p *access.Principal, id, reason string, decide func(*storagev1.JobRecord) *amendment, after func(*job)) (*fleetv1.Job, error) {
	if err := audit.CheckReason("reason", reason); err != nil {
		return nil, err
	}
	job, err := e.Get(ctx, p, id)
	if err != nil {
		return nil, err
	}
	err = e.amend(ctx, job.GetId(), func(rec *storagev1.JobRecord) (*amendment, error) {
		if err := mayActOnAll(p, rec.GetJob()); err != nil {
			return nil, err
		}
		if rec.GetJob().GetState() == fleetv1.JobState_JOB_STATE_DONE {
			return nil, refusal.New(refusal.Precondition, "JOB_DONE", "job %q: is done", job.GetId()).At("id").
				Then("see what came of it: `fleetctl describe job %s`", job.GetId())
		}
		return decide(rec), nil
	}, after)
	if err != nil {
		return nil, err
	}
	return e.Get(ctx, p, id)
}

// paused takes back what was permitted and has not started.
func (e *Engine) paused(j *job) {
	e.holdBack(j, nil, pausedWait(j.rec.GetJob().GetPause()).GetDetail())
	j.changedThroughout()
}

func (e *Engine) resumed(j *job, past past) {
	j.forgive(past.failures)
	j.soak.leave(past.sick)
	if j.forgiven != past.failures {
		// A failure was replaced while this was written.
		e.recountForgiven(j)
	}
	j.changedThroughout()
	e.advance(j)
}
