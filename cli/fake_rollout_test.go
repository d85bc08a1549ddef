package cli

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// fakeDigest is what approvals of the fake fleet's jobs cover.
var fakeDigest = strings.Repeat("0123456789abcdef", 4)

// of works an amount out for so many terminals.
func of(a *fleetv1.Amount, total int) uint32 {
	if p := int(a.GetPercent()); p > 0 {
		return uint32((total*p + 99) / 100)
	}
	return min(a.GetCount(), uint32(total))
}

// fakeRollout fills the defaults in, as the contract has them. A dry run has no rollout unless it asks for one.
func fakeRollout(spec *fleetv1.JobSpec, total int) (*fleetv1.Rollout, *fleetv1.RolloutProgress) {
	r := spec.GetRollout()
	if r == nil {
		if spec.GetDryRun() {
			return nil, nil
		}
		r = &fleetv1.Rollout{}
	}
	if len(r.GetWaves()) == 0 {
		r.Waves = []*fleetv1.Amount{count(1), percent(100)}
	}
	if r.GetMaxConcurrent() == nil {
		r.MaxConcurrent = percent(10)
		if total <= 5 {
			r.MaxConcurrent = percent(100)
		}
	}
	if r.GetMaxErrors() == nil {
		r.MaxErrors = percent(20)
	}
	if r.GetMaxConsecutive() == 0 {
		r.MaxConsecutive = 3
	}
	if r.GetOnLimit() == 0 {
		r.OnLimit = fleetv1.LimitAction_LIMIT_ACTION_PAUSE
	}
	p := &fleetv1.RolloutProgress{Wave: 1, MaxConsecutive: r.GetMaxConsecutive(), MaxConcurrent: of(r.GetMaxConcurrent(), total)}
	for _, w := range r.GetWaves() {
		p.Reach = append(p.Reach, of(w, total))
	}
	p.Reach = slices.Compact(p.Reach)
	p.MaxErrors = of(r.GetMaxErrors(), int(p.GetReach()[0]))
	return r, p
}

// wasIn tells whether a terminal was a target of an earlier job, and, if so asked, one on which it did not succeed.
func (f *fakeFleet) wasIn(from *fleetv1.FromJob, id string) bool {
	if from == nil {
		return true
	}
	for _, j := range f.jobs {
		for _, t := range j.tasks {
			if j.job.GetId() == from.GetJobId() && t.GetTerminalId() == id {
				return !from.GetFailed() || !succeeded(t.GetStatus())
			}
		}
	}
	return false
}

// fakeApproval says what a job needs; nil when it needs nothing.
func (f *fakeFleet) fakeApproval(spec *fleetv1.JobSpec) *fleetv1.ApprovalState {
	needed := spec.GetApprovals()
	reasons := []string{"its requester asks for " + fmt.Sprint(needed)}
	for _, o := range f.actions {
		if o.GetAction().GetName() == spec.GetAction() && o.GetAction().GetApprovals() > needed {
			needed = o.GetAction().GetApprovals()
			reasons = []string{"the action asks for " + fmt.Sprint(needed)}
		}
	}
	if needed == 0 || spec.GetDryRun() {
		return nil
	}
	return &fleetv1.ApprovalState{Needed: needed, Digest: fakeDigest, Reasons: reasons}
}

// held tells whether something keeps the whole job from starting, and makes its waiting tasks say so.
func (j *fakeJob) held() bool {
	var reason fleetv1.WaitReason
	switch {
	case missing(j.job) > 0:
		reason = fleetv1.WaitReason_WAIT_REASON_APPROVAL
	case j.job.GetPause() != nil:
		reason = fleetv1.WaitReason_WAIT_REASON_PAUSED
	case j.job.GetNotBefore().AsTime().After(testNow):
		reason = fleetv1.WaitReason_WAIT_REASON_NOT_BEFORE
	default:
		return false
	}
	for _, t := range j.tasks {
		if r := t.GetWait().GetReason(); t.GetState() == fleetv1.TaskState_TASK_STATE_WAITING && r != fleetv1.WaitReason_WAIT_REASON_OFFLINE && r != fleetv1.WaitReason_WAIT_REASON_WINDOW {
			t.Wait = &fleetv1.Wait{Reason: reason}
		}
	}
	return true
}

// rollOn counts a result against the limits and moves to the next wave.
func (j *fakeJob) rollOn(t *fleetv1.Task) {
	p := j.job.GetProgress()
	if p == nil {
		return
	}
	p.Errors, p.Consecutive = p.GetErrors()+1, p.GetConsecutive()+1
	if succeeded(t.GetStatus()) {
		p.Errors, p.Consecutive = p.GetErrors()-1, 0
	}
	if p.GetErrors() >= p.GetMaxErrors() || p.GetConsecutive() >= p.GetMaxConsecutive() {
		j.atLimit(p)
	}
	j.count()
	if done := finished(j.job.GetCounts()); int(p.GetWave()) < len(p.GetReach()) && done >= p.GetReach()[p.GetWave()-1] {
		p.Wave++
		p.MaxErrors = of(j.job.GetRollout().GetMaxErrors(), int(p.GetReach()[p.GetWave()-1]))
	}
}

func (j *fakeJob) atLimit(p *fleetv1.RolloutProgress) {
	reason := fmt.Sprintf("%d of %d failures", p.GetErrors(), p.GetMaxErrors())
	switch j.job.GetRollout().GetOnLimit() {
	case fleetv1.LimitAction_LIMIT_ACTION_PAUSE:
		j.job.Pause = &fleetv1.Pause{Time: at(0), By: "rollout", Reason: reason}
	case fleetv1.LimitAction_LIMIT_ACTION_STOP:
		j.cancel("rollout", reason)
	}
}

// cancel takes back what has not started.
func (j *fakeJob) cancel(by, reason string) {
	for _, t := range j.tasks {
		if t.GetState() == fleetv1.TaskState_TASK_STATE_WAITING {
			t.State, t.Status, t.Wait, t.Finished = fleetv1.TaskState_TASK_STATE_DONE, actionv1.TaskStatus_TASK_STATUS_CANCELLED, nil, at(0)
			t.Result = &actionv1.TaskResult{Status: t.GetStatus(), Reason: reason}
		}
	}
	j.job.Cancelled, j.job.CancelledBy, j.job.CancelReason = true, by, reason
	j.count()
}

// question is what a task with the outcome "asks" asks.
func question() *fleetv1.Question {
	return &fleetv1.Question{PlanId: "light", Prompt: "is the light green?", Asked: at(0), Deadline: timestamppb.New(testNow.Add(600e9))}
}

func jobDone(j *fakeJob) error {
	return refuse(codes.FailedPrecondition, "job \""+j.job.GetId()+"\": is done", "JOB_DONE")
}
