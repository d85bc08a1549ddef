package jobs

import (
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// restore lets the server go on from what its store was at the backup.
func (r *rig) restore(backup []byte) {
	r.t.Helper()
	r.halt()
	if err := os.WriteFile(r.path, backup, 0o600); err != nil {
		r.t.Fatal(err)
	}
	st, err := store.Open(r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := store.MarkRestored(context.Background(), st, time.Now()); err != nil {
		r.t.Fatal(err)
	}
	if _, err := Withdraw(context.Background(), st, time.Now()); err != nil {
		r.t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.start()
}

func (r *rig) backup() []byte {
	r.t.Helper()
	path := r.path + ".backup"
	f, err := os.Create(path)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.store.WriteTo(r.t.Context(), f); err != nil {
		r.t.Fatal(err)
	}
	f.Close()
	text, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

// What was open in the backup may have been done, or cancelled, since. It is asked for, and never started.
func TestARestoredJobStartsNothingAndAsksItsAgents(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(nil)
		backup := r.backup()
		if err := r.result(0, job, succeeded); err != nil {
			t.Fatal(err)
		}
		if _, err := r.engine.Cancel(t.Context(), admin(), job.GetId(), "not needed"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)

		r.restore(backup)
		expect(t, "state of the restored job", r.job(job).GetState(), fleetv1.JobState_JOB_STATE_ACTIVE)
		expect(t, "cancelled by", r.job(job).GetCancelledBy(), restorer)
		// Terminal 0 has the result, acknowledged long ago; terminal 1 has never heard of the task; terminal 2 stays away.
		for i := range 2 {
			r.connect(i)
			expectSent(t, r.wire.take(terminalID(i)), "dispatch", "cancel")
		}
		expect(t, "state before the agent has answered", r.task(0, job).GetState(), fleetv1.TaskState_TASK_STATE_RUNNING)
		// Cut off before it could answer, it is asked again.
		r.disconnect(0)
		r.connect(0)
		expectSent(t, r.wire.take("T-0000"), "dispatch", "cancel")
		if err := r.result(0, job, succeeded); err != nil {
			t.Fatal(err)
		}
		if err := r.result(1, job, cancelled); err != nil {
			t.Fatal(err)
		}
		expect(t, "what was done since the backup", r.task(0, job).GetStatus(), succeeded)
		expect(t, "what was cancelled since", r.task(1, job).GetStatus(), cancelled)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		expect(t, "what nobody can say", r.task(2, job).GetStatus(), unknown)
		expect(t, "audit records of the withdrawal", r.audited("job.withdraw"), 1)
		// A job that was asked for afterwards is like any other.
		later := r.create(nil)
		expectSent(t, r.wire.take("T-0000"), "dispatch for 30s")
		expect(t, "cancelled", r.job(later).GetCancelled(), false)
	}, "lyon", "lyon", "lyon")
}

// The agent of a task that is still running, or whose result is on its way, is left in peace.
func TestARestoredTaskThatRunsIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(nil)
		r.restore(r.backup())
		r.connect(0, open(job, started))
		expectSent(t, r.wire.take("T-0000"))
		if err := r.result(0, job, succeeded); err != nil {
			t.Fatal(err)
		}
		expect(t, "job state", r.job(job).GetState(), fleetv1.JobState_JOB_STATE_DONE)
	}, "lyon")
}

// A job that was asked for after the backup is gone with its tasks. Agents that hold results of it must not send them for ever.
func TestAResultOfALostJobIsRecordedAndAcknowledged(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		backup := r.backup()
		r.connect(0)
		lost := r.create(nil)
		time.Sleep(time.Second)
		r.restore(backup)
		r.connect(0, open(lost, accepted))
		expectSent(t, r.wire.take("T-0000"), "cancel")
		for range 2 {
			if err := r.result(0, lost, succeeded); err != nil {
				t.Errorf("the agent will send it for ever: %v", err)
			}
		}
		expect(t, "audit records of results", r.audited("task.results"), 1)

		time.Sleep(time.Second)
		invented, err := newIDSource().next(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.result(0, &fleetv1.Job{Id: invented}, succeeded); err == nil {
			t.Error("a result of a job that nobody ever asked for was taken")
		}
		second := &agentv1.Result{Key: &agentv1.TaskKey{JobId: lost.GetId(), Attempt: 2}, Result: resultOf(lost, succeeded).GetResult()}
		taken := false
		if err := r.engine.Result(t.Context(), "T-0000", second, func(err error) { taken = err == nil }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expect(t, "a second attempt, which no server ever made, was taken", taken, false)
	}, "lyon")
}

func TestWithoutARestoreAnUnknownJobIsForeign(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		id, err := newIDSource().next(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.result(0, &fleetv1.Job{Id: id}, succeeded); err == nil {
			t.Error("a result of an unknown job was taken")
		}
	}, "lyon")
}
