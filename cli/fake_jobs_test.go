package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/proto/params"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

type fakeJob struct {
	requestID string
	job       *fleetv1.Job
	tasks     []*fleetv1.Task
}

func (f *fakeFleet) PreviewJob(_ context.Context, r *fleetv1.PreviewJobRequest) (*fleetv1.PreviewJobResponse, error) {
	found, err := f.pick(r.GetSpec().GetSelection())
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, refuse(codes.NotFound, "the selection matches no terminal", "NOTHING_MATCHES")
	}
	values, err := params.Resolve(fakeOffered(r.GetSpec().GetAction()), r.GetSpec().GetParams())
	if err != nil {
		return nil, err
	}
	resp := &fleetv1.PreviewJobResponse{TargetsDigest: "d-1", Params: values}
	for _, t := range found {
		target := &fleetv1.Target{TerminalId: t.GetId(), Name: t.GetName(), Site: t.GetSite(), Role: t.GetRole(), Online: t.GetOnline()}
		if f.outcome(t.GetName()) == "refused" {
			target.Problem = "its plugins do not offer ble-restart"
		}
		if f.outcome(t.GetName()) == "window" {
			target.Wait = fakeWindow()
		}
		if !t.GetOnline() {
			resp.Warnings = append(resp.Warnings, t.GetName()+" is offline: it is served when it connects before the job expires")
		}
		resp.Targets = append(resp.Targets, target)
	}
	resp.Rollout, resp.Progress = fakeRollout(r.GetSpec(), len(found))
	resp.Approval = f.fakeApproval(r.GetSpec())
	return resp, nil
}

func (f *fakeFleet) outcome(name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.outcomes[name]
}

func (f *fakeFleet) CreateJob(_ context.Context, r *fleetv1.CreateJobRequest) (*fleetv1.CreateJobResponse, error) {
	if f.has("targets-changed") {
		return nil, refuse(codes.FailedPrecondition, "the targets are not those of the preview", "TARGETS_CHANGED")
	}
	for _, j := range f.jobs {
		if j.requestID == r.GetRequestId() {
			return &fleetv1.CreateJobResponse{Job: proto.CloneOf(j.job)}, nil
		}
	}
	j, err := f.newJob(r)
	if err != nil {
		return nil, err
	}
	f.jobs = append(f.jobs, j)
	if f.take("drop-create") {
		return nil, status.Error(codes.Unavailable, "the answer is lost")
	}
	return &fleetv1.CreateJobResponse{Job: proto.CloneOf(j.job)}, nil
}

func (f *fakeFleet) newJob(r *fleetv1.CreateJobRequest) (*fakeJob, error) {
	found, err := f.pick(r.GetSpec().GetSelection())
	if err != nil {
		return nil, err
	}
	spec := r.GetSpec()
	j := &fakeJob{requestID: r.GetRequestId(), job: &fleetv1.Job{
		Id: fmt.Sprintf("job-%d", len(f.jobs)+1), Action: spec.GetAction(), Params: spec.GetParams(), Selection: spec.GetSelection(),
		DryRun: spec.GetDryRun(), Reason: spec.GetReason(), Requester: "admin", Created: at(0), Expires: at(time.Hour),
		State: fleetv1.JobState_JOB_STATE_ACTIVE, Approval: f.fakeApproval(spec), NotBefore: spec.GetNotBefore(),
		BreakGlass: spec.GetBreakGlass(), InUse: max(spec.GetInUse(), fleetv1.InUse_IN_USE_WAIT), Attempt: 1, ActionVersion: "1.0.0",
	}}
	if spec.GetExpiresIn() != nil {
		j.job.Expires = timestamppb.New(testNow.Add(spec.GetExpiresIn().AsDuration()))
	}
	j.job.Rollout, j.job.Progress = fakeRollout(spec, len(found))
	for i, t := range found {
		task := &fleetv1.Task{JobId: j.job.GetId(), TerminalId: t.GetId(), TerminalName: t.GetName(), Site: t.GetSite(), Index: uint32(i),
			State: fleetv1.TaskState_TASK_STATE_WAITING, Wait: &fleetv1.Wait{Reason: fleetv1.WaitReason_WAIT_REASON_SLOT, Detail: "2 of 2 slots are in use"}}
		if !t.GetOnline() {
			task.Wait = &fleetv1.Wait{Reason: fleetv1.WaitReason_WAIT_REASON_OFFLINE, Detail: "last seen 2026-11-24T07:55:00Z"}
		}
		if f.outcome(t.GetName()) == "window" {
			task.Wait = fakeWindow()
		}
		if !slices.Contains(j.job.GetSites(), t.GetSite()) {
			j.job.Sites = append(j.job.Sites, t.GetSite())
		}
		j.tasks = append(j.tasks, task)
	}
	j.held()
	j.count()
	return j, nil
}

func fakeWindow() *fleetv1.Wait {
	return &fleetv1.Wait{Reason: fleetv1.WaitReason_WAIT_REASON_WINDOW, Detail: "lyon opens at 22:00", NextLook: at(14 * time.Hour)}
}

// count brings the job's counts and state up to date.
func (j *fakeJob) count() {
	c := &fleetv1.JobCounts{Total: uint32(len(j.tasks))}
	for _, t := range j.tasks {
		switch {
		case t.GetState() == fleetv1.TaskState_TASK_STATE_WAITING:
			c.Waiting++
		case t.GetState() == fleetv1.TaskState_TASK_STATE_RUNNING:
			c.Running++
		case t.GetStatus() == actionv1.TaskStatus_TASK_STATUS_SUCCEEDED:
			c.Succeeded++
		case t.GetStatus() == actionv1.TaskStatus_TASK_STATUS_NO_CHANGE:
			c.NoChange++
		case t.GetStatus() == actionv1.TaskStatus_TASK_STATUS_REFUSED:
			c.Refused++
		case t.GetStatus() == actionv1.TaskStatus_TASK_STATUS_CANCELLED:
			c.Cancelled++
		default:
			c.Failed++
		}
	}
	j.job.Counts = c
	if c.GetWaiting()+c.GetRunning() == 0 {
		j.job.State, j.job.Finished = fleetv1.JobState_JOB_STATE_DONE, at(30*time.Second)
	}
}

func (f *fakeFleet) find(id string) (*fakeJob, error) {
	for _, j := range f.jobs {
		if j.job.GetId() == id {
			return j, nil
		}
	}
	return nil, notFound("job", id)
}

func (f *fakeFleet) GetJob(_ context.Context, r *fleetv1.GetJobRequest) (*fleetv1.GetJobResponse, error) {
	j, err := f.find(r.GetId())
	if err != nil {
		return nil, err
	}
	job := proto.CloneOf(j.job)
	if f.take("miscount") {
		job.Counts.Failed, job.Counts.Unknown = 0, 1
	}
	return &fleetv1.GetJobResponse{Job: job}, nil
}

func (f *fakeFleet) ListJobs(_ context.Context, r *fleetv1.ListJobsRequest) (*fleetv1.ListJobsResponse, error) {
	resp := &fleetv1.ListJobsResponse{}
	for _, j := range slices.Backward(f.jobs) {
		if !r.GetActiveOnly() || j.job.GetState() != fleetv1.JobState_JOB_STATE_DONE {
			resp.Jobs = append(resp.Jobs, proto.CloneOf(j.job))
		}
	}
	if int(r.GetPageSize()) < len(resp.GetJobs()) {
		resp.Jobs, resp.NextPageToken = resp.GetJobs()[:r.GetPageSize()], "more"
	}
	return resp, nil
}

// ListTasks gives two tasks a page, so that every list of a script shows that pages are merged.
func (f *fakeFleet) ListTasks(_ context.Context, r *fleetv1.ListTasksRequest) (*fleetv1.ListTasksResponse, error) {
	j, err := f.find(r.GetJobId())
	if err != nil {
		return nil, err
	}
	var found []*fleetv1.Task
	for _, t := range j.tasks {
		if r.GetTerminal() == "" || r.GetTerminal() == t.GetTerminalName() {
			found = append(found, proto.CloneOf(t))
		}
	}
	if len(found) == 0 {
		return nil, notFound("task of terminal", r.GetTerminal())
	}
	if f.take("hide-tasks") {
		return &fleetv1.ListTasksResponse{Tasks: found[1:]}, nil
	}
	from := len(r.GetPageToken())
	resp := &fleetv1.ListTasksResponse{Tasks: found[from:min(from+2, len(found))]}
	if from+2 < len(found) {
		resp.NextPageToken = strings.Repeat("x", from+2)
	}
	return resp, nil
}

func (f *fakeFleet) CancelJob(_ context.Context, r *fleetv1.CancelJobRequest) (*fleetv1.CancelJobResponse, error) {
	j, err := f.find(r.GetId())
	if err != nil {
		return nil, err
	}
	if j.job.GetState() == fleetv1.JobState_JOB_STATE_DONE {
		return &fleetv1.CancelJobResponse{Job: proto.CloneOf(j.job)}, nil
	}
	j.cancel("admin", r.GetReason())
	return &fleetv1.CancelJobResponse{Job: proto.CloneOf(j.job)}, nil
}

// WatchJob sends the job as it is, then lets each task run to its outcome, a message for each step.
func (f *fakeFleet) WatchJob(r *fleetv1.WatchJobRequest, s grpc.ServerStreamingServer[fleetv1.WatchJobResponse]) error {
	over, err := f.play(r.GetId(), s)
	if !over && err == nil {
		<-s.Context().Done()
	}
	return err
}

// play does what a watch shows, and tells whether the job is done then.
func (f *fakeFleet) play(id string, s grpc.ServerStreamingServer[fleetv1.WatchJobResponse]) (over bool, err error) {
	f.state.Lock()
	defer f.state.Unlock()
	j, err := f.find(id)
	if err != nil {
		return false, err
	}
	send := func(tasks ...*fleetv1.Task) error {
		j.count()
		return s.Send(proto.CloneOf(&fleetv1.WatchJobResponse{Job: j.job, Tasks: tasks, Synced: true}))
	}
	if err := send(j.tasks...); err != nil {
		return false, err
	}
	if f.take("break-watch") {
		return false, status.Error(codes.Unavailable, "the connection broke")
	}
	if f.take("die-in-watch") {
		go f.server.Stop()
		<-s.Context().Done()
		return false, s.Context().Err()
	}
	for _, t := range j.tasks {
		if j.held() {
			break
		}
		if err := f.advance(j, t, send); err != nil {
			return false, err
		}
	}
	if err := send(j.tasks...); err != nil {
		return false, err
	}
	if f.take("shut-out") {
		return false, refuse(codes.Unauthenticated, "operator \"admin\": is shut out", "REVOKED")
	}
	return j.job.GetState() == fleetv1.JobState_JOB_STATE_DONE, nil
}

// advance runs one task. Tasks of offline terminals stay, and so do those with the outcome "hang", once they run.
func (f *fakeFleet) advance(j *fakeJob, t *fleetv1.Task, send func(...*fleetv1.Task) error) error {
	outcome := f.outcome(t.GetTerminalName())
	if t.GetState() == fleetv1.TaskState_TASK_STATE_DONE || outcome == "window" || (t.GetWait().GetReason() == fleetv1.WaitReason_WAIT_REASON_OFFLINE && outcome == "") {
		return nil
	}
	t.State, t.Wait, t.Attempt, t.Online, t.Started = fleetv1.TaskState_TASK_STATE_RUNNING, nil, 1, true, at(time.Second)
	t.Progress, t.Permitted, t.Wave = "verify: watching for 30s", at(0), j.job.GetProgress().GetWave()
	if outcome == "asks" && len(t.GetAnswers()) == 0 {
		t.Question = question()
	}
	if err := send(t); err != nil || outcome == "hang" || t.GetQuestion() != nil {
		return err
	}
	t.State, t.Progress, t.Finished = fleetv1.TaskState_TASK_STATE_DONE, "", at(6*time.Second)
	t.Result = fakeResult(outcome, j.job.GetDryRun())
	t.Status = t.GetResult().GetStatus()
	if effects := t.GetResult().GetPlan().GetEffects(); len(effects) > 0 {
		effects[0].Before = fmt.Sprintf("running (process %d)", 400+t.GetIndex())
	}
	j.rollOn(t)
	return send(t)
}
