package jobs

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/rollout"
	"github.com/bandfleet/bandfleet/server/store"
)

func TestFailuresPauseAJob(t *testing.T) {
	ten := rollout.AllAtOnce()
	ten.MaxErrors = rollout.Percent(20)
	for name, c := range map[string]struct {
		asked   *fleetv1.Rollout
		results []actionv1.TaskStatus
		reason  string
	}{
		"a failed canary": {nil, []actionv1.TaskStatus{failed}, "1 of 1 terminal of wave 1 failed: line-0 (the limit is 1)"},
		"one of five":     {ten, []actionv1.TaskStatus{failed, succeeded, unknown}, "2 of 10 terminals of wave 1 failed: line-0, line-2 (the limit is 2)"},
		"not yet":         {ten, []actionv1.TaskStatus{failed, succeeded}, ""},
		"a row": {&fleetv1.Rollout{Waves: rollout.AllAtOnce().GetWaves(), MaxErrors: rollout.Percent(100), MaxConcurrent: rollout.Percent(100), MaxConsecutive: 3},
			[]actionv1.TaskStatus{failed, succeeded, refused, actionv1.TaskStatus_TASK_STATUS_CONFLICT, actionv1.TaskStatus_TASK_STATUS_ROLLED_BACK},
			"4 of 10 terminals of wave 1 failed: line-0, line-2, line-3, line-4 (3 in a row are the limit)"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.connectAll()
				job := r.create(spreading(c.asked))
				for i, status := range c.results {
					r.end(i, job, status)
				}
				got := r.job(job).GetPause()
				expect(t, "reason of the pause", got.GetReason(), c.reason)
				if c.reason != "" {
					expect(t, "paused by", got.GetBy(), byRollout)
					expect(t, "audit records of the pause", r.audited("job.pause"), 1)
				}
			}, lyon(10)...)
		})
	}
}

func TestALimitStopsOrOnlyCounts(t *testing.T) {
	for action, want := range map[fleetv1.LimitAction]string{
		fleetv1.LimitAction_LIMIT_ACTION_STOP:     "cancelled: stopped by rollout: a limit of failures was reached",
		fleetv1.LimitAction_LIMIT_ACTION_CONTINUE: "running",
	} {
		bubble(t, func(t *testing.T, r *rig) {
			r.connectAll()
			job := r.create(spreading(&fleetv1.Rollout{OnLimit: action}))
			r.end(0, job, failed)
			task := r.task(1, job)
			got := "running"
			if task.GetState() == fleetv1.TaskState_TASK_STATE_DONE {
				got = statusWord(task.GetStatus()) + ": " + task.GetResult().GetReason()
			}
			expect(t, "what becomes of the others", got, want)
			expect(t, "failures", r.job(job).GetProgress().GetErrors(), 1)
			if r.job(job).GetCancelled() {
				expect(t, "why it was stopped", r.job(job).GetCancelReason(), "1 of 1 terminal of wave 1 failed: line-0 (the limit is 1)")
			}
			expect(t, "audit records of a stop", r.audited("job.stop"), map[bool]int{true: 1}[action == fleetv1.LimitAction_LIMIT_ACTION_STOP])
		}, lyon(3)...)
	}
}

// What is known at creation says nothing of what the job does.
func TestARefusalAtCreationIsNoFailure(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for i := range 5 {
			r.fleet.terminals[i].PluginSha256 = nil
		}
		r.connectAll()
		job := r.create(spreading(nil))
		expect(t, "the canary", r.running(job), "5")
		expect(t, "reach", fmt.Sprint(job.GetProgress().GetReach()), "[1 5]")
		expect(t, "failures", job.GetProgress().GetErrors(), 0)
	}, lyon(10)...)
}

// A result that takes the place of UNKNOWN is counted instead of it.
func TestALateResultIsCountedAnew(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		asked := rollout.AllAtOnce()
		asked.MaxErrors = rollout.Count(3)
		job := r.create(spreading(asked))
		if err := r.engine.Retire(t.Context(), "T-0000"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expect(t, "failures with an unknown outcome", r.job(job).GetProgress().GetErrors(), 1)
		r.end(0, job, succeeded)
		expect(t, "failures when it turns out to be a success", r.job(job).GetProgress().GetErrors(), 0)
	}, lyon(5)...)
}

// The server is killed after the result is on disk and before the pause is: the next one pauses before anything starts.
func TestALimitIsFoundAgainAfterAKill(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(spreading(nil))
		r.end(0, job, failed)
		r.rewrite(job, func(rec *storagev1.JobRecord) { rec.Job.Pause = nil })
		expect(t, "paused by, after the restart", r.job(job).GetPause().GetBy(), byRollout)
		r.connect(1)
		expectSent(t, r.wire.take("T-0001"))
		expect(t, "audit records of both pauses", r.audited("job.pause"), 2)
	}, lyon(3)...)
}

// rewrite restarts the server on a store in which a job's record is another.
func (r *rig) rewrite(job *fleetv1.Job, change func(*storagev1.JobRecord)) {
	r.t.Helper()
	r.halt()
	st, err := store.Open(r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	err = st.Update(context.Background(), func(w store.Writer) error {
		rec, err := readJob(w, job.GetId())
		if err != nil {
			return err
		}
		change(rec)
		return put(w, store.TableJobs, store.JobKey(job.GetId()), rec)
	})
	if err := errors.Join(err, st.Close()); err != nil {
		r.t.Fatal(err)
	}
	r.start()
}
