package jobs

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
)

func (r *rig) retry(p *access.Principal, q *fleetv1.RetryJobRequest) (*fleetv1.Job, error) {
	job, err := r.engine.Retry(r.t.Context(), p, q)
	synctest.Wait()
	return job, err
}

func TestRetryTakesWhatDidNotSucceed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(func(q *fleetv1.CreateJobRequest) {
			q.Spec.Params = map[string]string{"stop_timeout": "20s"}
			q.Spec.Reason, q.Spec.ExpiresIn, q.Spec.Approvals = "INC-1", durationpb.New(2*time.Hour), 1
		})
		r.mustApprove(approver("bob"), job)
		for i, s := range []actionv1.TaskStatus{succeeded, failed, actionv1.TaskStatus_TASK_STATUS_NO_CHANGE, unknown} {
			r.connect(i)
			if err := r.result(i, job, s); err != nil {
				t.Fatal(err)
			}
		}
		again, err := r.retry(admin(), &fleetv1.RetryJobRequest{Id: job.GetId()})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "targets", again.GetCounts().GetTotal(), 2)
		expect(t, "the first target", r.task(1, again).GetIndex(), 0)
		expect(t, "retry of", again.GetRetryOf(), job.GetId())
		expect(t, "attempt", again.GetAttempt(), 2)
		expect(t, "parameter", again.GetParams()["stop_timeout"], "20s")
		expect(t, "reason", again.GetReason(), "INC-1")
		expect(t, "span", again.GetExpires().AsTime().Sub(again.GetCreated().AsTime()), 2*time.Hour)
		expect(t, "approvals", again.GetApproval().GetNeeded(), 1)
		expect(t, "approvals given", len(again.GetApproval().GetApprovals()), 0)
		expect(t, "audit", r.change("job.create", "retry_of"), job.GetId())
	}, "lyon", "lyon", "lyon", "lyon")
}

func TestRetryIsRepeatable(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.finish(failed)
		q := &fleetv1.RetryJobRequest{Id: job.GetId(), RequestId: "r-1", Reason: "again"}
		first, err := r.retry(admin(), q)
		if err != nil {
			t.Fatal(err)
		}
		second, err := r.retry(admin(), q)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "the job of the repeated request", second.GetId(), first.GetId())
		expect(t, "reason", first.GetReason(), "again")
		// A third time is another try of the retried job.
		if err := r.result(0, first, failed); err != nil {
			t.Fatal(err)
		}
		third, err := r.retry(admin(), &fleetv1.RetryJobRequest{Id: first.GetId()})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "attempt", third.GetAttempt(), 3)
	}, "lyon")
}

func TestWhatCannotBeRetried(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		open := r.create(nil)
		_, err := r.retry(admin(), &fleetv1.RetryJobRequest{Id: open.GetId()})
		expectRefusal(t, err, "JOB_NOT_DONE")
		good := r.finish(succeeded, succeeded)
		_, err = r.retry(admin(), &fleetv1.RetryJobRequest{Id: good.GetId()})
		expectRefusal(t, err, "NOTHING_TO_RETRY")
		bad := r.finish(failed, failed)
		_, err = r.retry(at("lyon paris", "lyon"), &fleetv1.RetryJobRequest{Id: bad.GetId()})
		expectRefusal(t, err, "RIGHT_MISSING")
		_, err = r.retry(at("lyon", "lyon"), &fleetv1.RetryJobRequest{Id: bad.GetId()})
		expectRefusal(t, err, "RIGHT_MISSING")
		_, err = r.retry(at("rome", "rome"), &fleetv1.RetryJobRequest{Id: bad.GetId()})
		expectRefusal(t, err, "NOT_FOUND")
		_, err = r.retry(admin(), &fleetv1.RetryJobRequest{Id: bad.GetId(), Reason: "turned \u202e round"})
		expectRefusal(t, err, "BAD_REASON")
		for _, rec := range r.fleet.terminals {
			rec.Terminal.State = fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED
		}
		_, err = r.retry(admin(), &fleetv1.RetryJobRequest{Id: bad.GetId()})
		expectRefusal(t, err, "NOTHING_TO_RETRY")
	}, "lyon", "paris")
}

// What fails on one site of two may be tried again by who may act there.
func TestRetryAsksForRightsWhereItFailed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.finish(failed, succeeded)
		again, err := r.retry(at("lyon paris", "lyon"), &fleetv1.RetryJobRequest{Id: job.GetId()})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "requester", again.GetRequester(), "bob")
		expect(t, "targets", again.GetCounts().GetTotal(), 1)
	}, "lyon", "paris")
}

// What lifts a rule was asked for once and is not asked for again.
func TestRetryDoesNotBreakTheGlassAgain(t *testing.T) {
	spec := again(&fleetv1.Job{BreakGlass: "line down", InUse: fleetv1.InUse_IN_USE_PROCEED, Rollout: atOnce(2)})
	expect(t, "break glass", spec.GetBreakGlass(), "")
	expect(t, "not before", spec.GetNotBefore() == nil, true)
	expect(t, "in use", spec.GetInUse(), fleetv1.InUse_IN_USE_PROCEED)
	expect(t, "at once", spec.GetRollout().GetMaxConcurrent().GetCount(), 2)
}
