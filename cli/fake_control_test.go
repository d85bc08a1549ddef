package cli

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// undone finds a job that is not done.
func (f *fakeFleet) undone(id string) (*fakeJob, error) {
	j, err := f.find(id)
	if err == nil && j.job.GetState() == fleetv1.JobState_JOB_STATE_DONE {
		err = jobDone(j)
	}
	return j, err
}

func (f *fakeFleet) PauseJob(ctx context.Context, r *fleetv1.PauseJobRequest) (*fleetv1.PauseJobResponse, error) {
	j, err := f.undone(r.GetId())
	if err != nil {
		return nil, err
	}
	j.job.Pause = &fleetv1.Pause{Time: at(0), By: caller(ctx), Reason: r.GetReason()}
	j.held()
	return &fleetv1.PauseJobResponse{Job: proto.CloneOf(j.job)}, nil
}

func (f *fakeFleet) ResumeJob(_ context.Context, r *fleetv1.ResumeJobRequest) (*fleetv1.ResumeJobResponse, error) {
	j, err := f.undone(r.GetId())
	if err != nil {
		return nil, err
	}
	j.job.Pause = nil
	if p := j.job.GetProgress(); p != nil {
		p.Errors, p.Consecutive = 0, 0
	}
	for _, t := range j.tasks {
		if t.GetWait().GetReason() == fleetv1.WaitReason_WAIT_REASON_PAUSED {
			t.Wait = &fleetv1.Wait{Reason: fleetv1.WaitReason_WAIT_REASON_WAVE}
		}
	}
	return &fleetv1.ResumeJobResponse{Job: proto.CloneOf(j.job)}, nil
}

func (f *fakeFleet) RetryJob(_ context.Context, r *fleetv1.RetryJobRequest) (*fleetv1.RetryJobResponse, error) {
	for _, j := range f.jobs {
		if j.requestID == r.GetRequestId() {
			return &fleetv1.RetryJobResponse{Job: proto.CloneOf(j.job)}, nil
		}
	}
	old, err := f.find(r.GetId())
	if err != nil {
		return nil, err
	}
	spec := &fleetv1.JobSpec{
		Action: old.job.GetAction(), Params: old.job.GetParams(), DryRun: old.job.GetDryRun(), Reason: r.GetReason(),
		Selection: &fleetv1.Selection{FromJob: &fleetv1.FromJob{JobId: r.GetId(), Failed: true}}, Rollout: old.job.GetRollout(),
	}
	j, err := f.newJob(&fleetv1.CreateJobRequest{Spec: spec, RequestId: r.GetRequestId()})
	if err != nil {
		return nil, err
	}
	j.job.RetryOf, j.job.Attempt = r.GetId(), old.job.GetAttempt()+1
	f.jobs = append(f.jobs, j)
	if f.take("drop-create") {
		return nil, status.Error(codes.Unavailable, "the answer is lost")
	}
	return &fleetv1.RetryJobResponse{Job: proto.CloneOf(j.job)}, nil
}

// unapproved finds a job that waits for approval.
func (f *fakeFleet) unapproved(id string) (*fakeJob, error) {
	j, err := f.find(id)
	if err == nil && missing(j.job) == 0 {
		err = refuse(codes.FailedPrecondition, "job \""+id+"\": waits for no approval", "NO_APPROVAL")
	}
	return j, err
}

func (f *fakeFleet) ApproveJob(ctx context.Context, r *fleetv1.ApproveJobRequest) (*fleetv1.ApproveJobResponse, error) {
	j, err := f.unapproved(r.GetId())
	if err != nil {
		return nil, err
	}
	s := j.job.GetApproval()
	if r.GetDigest() != s.GetDigest() {
		return nil, refuse(codes.Aborted, "job \""+r.GetId()+"\": is not what has this digest", "DIGEST_CHANGED")
	}
	if caller(ctx) == j.job.GetRequester() {
		return nil, refuse(codes.PermissionDenied, "job \""+r.GetId()+"\": was asked for by yourself", "OWN_JOB")
	}
	expires := j.job.GetExpires()
	if r.GetValidFor() != nil {
		expires = timestamppb.New(testNow.Add(r.GetValidFor().AsDuration()))
	}
	if !slices.Contains(namesOf(s.GetApprovals(), (*fleetv1.Approval).GetBy), caller(ctx)) {
		s.Approvals = append(s.Approvals, &fleetv1.Approval{By: caller(ctx), Time: at(time.Minute), Reason: r.GetReason(), Digest: r.GetDigest(), Expires: expires})
	}
	return &fleetv1.ApproveJobResponse{Job: proto.CloneOf(j.job)}, nil
}

func (f *fakeFleet) RejectJob(ctx context.Context, r *fleetv1.RejectJobRequest) (*fleetv1.RejectJobResponse, error) {
	j, err := f.unapproved(r.GetId())
	if err != nil {
		return nil, err
	}
	j.job.Approval.Rejection = &fleetv1.Approval{By: caller(ctx), Time: at(time.Minute), Reason: r.GetReason(), Digest: fakeDigest}
	j.cancel("", "rejected: "+r.GetReason())
	j.job.Cancelled = false
	return &fleetv1.RejectJobResponse{Job: proto.CloneOf(j.job)}, nil
}

func (f *fakeFleet) ConfirmTask(ctx context.Context, r *fleetv1.ConfirmTaskRequest) (*fleetv1.ConfirmTaskResponse, error) {
	j, err := f.find(r.GetJobId())
	if err != nil {
		return nil, err
	}
	for _, t := range j.tasks {
		if t.GetTerminalName() != r.GetTerminal() {
			continue
		}
		if t.GetQuestion() == nil {
			return nil, refuse(codes.FailedPrecondition, "job \""+r.GetJobId()+"\": target "+r.GetTerminal()+": asks nothing", "NO_QUESTION")
		}
		t.Answers = append(t.Answers, &fleetv1.Answer{PlanId: t.GetQuestion().GetPlanId(), Confirmed: r.GetConfirmed(), By: caller(ctx), Note: r.GetNote(), Time: at(5 * time.Second)})
		t.Question = nil
		return &fleetv1.ConfirmTaskResponse{Task: proto.CloneOf(t)}, nil
	}
	return nil, notFound("task of terminal", r.GetTerminal())
}

func (f *fakeFleet) GetOverview(context.Context, *fleetv1.GetOverviewRequest) (*fleetv1.GetOverviewResponse, error) {
	o := &fleetv1.GetOverviewResponse{Tasks: &fleetv1.JobCounts{}}
	for _, s := range f.sites {
		o.Sites = append(o.Sites, &fleetv1.SiteOverview{Name: s.GetName(), Terminals: s.GetTerminals(), Online: s.GetOnline(), Unhealthy: 1})
	}
	for _, j := range f.jobs {
		if j.job.GetState() == fleetv1.JobState_JOB_STATE_DONE {
			continue
		}
		o.ActiveJobs++
		if missing(j.job) > 0 {
			o.UnapprovedJobs++
		}
		if j.job.GetPause() != nil {
			o.PausedJobs++
		}
		o.Tasks.Total, o.Tasks.Waiting = o.GetTasks().GetTotal()+j.job.GetCounts().GetTotal(), o.GetTasks().GetWaiting()+j.job.GetCounts().GetWaiting()
		o.Tasks.Running += j.job.GetCounts().GetRunning()
		for _, t := range j.tasks {
			overlook(o, t)
		}
	}
	return o, nil
}

// overlook counts a task in an overview.
func overlook(o *fleetv1.GetOverviewResponse, t *fleetv1.Task) {
	if t.GetQuestion() != nil {
		o.Questions++
	}
	if t.GetState() != fleetv1.TaskState_TASK_STATE_WAITING {
		return
	}
	i := slices.IndexFunc(o.GetWaits(), func(w *fleetv1.WaitCount) bool { return w.GetReason() == t.GetWait().GetReason() })
	if i < 0 {
		i = len(o.GetWaits())
		o.Waits = append(o.Waits, &fleetv1.WaitCount{Reason: t.GetWait().GetReason()})
	}
	o.Waits[i].Tasks++
}
