package jobs

import (
	"testing"
	"testing/synctest"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// A decommissioned terminal never answers: what it had to do ends at once, and nothing is said that is not known.
func TestDecommissionEndsWhatTheTerminalHadToDo(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(nil)
		r.connect(1)
		r.connect(2)
		for i := range 3 {
			if err := r.engine.Retire(t.Context(), terminalID(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.result(1, job, succeeded); err != nil {
			t.Errorf("a result that was under way: %v", err)
		}
		expect(t, "never permitted", r.task(0, job).GetStatus(), cancelled)
		expect(t, "permitted, and its result came after all", r.task(1, job).GetStatus(), succeeded)
		expect(t, "permitted", r.task(2, job).GetStatus(), unknown)
		expect(t, "job state", r.job(job).GetState(), fleetv1.JobState_JOB_STATE_DONE)
	}, "lyon", "lyon", "lyon")
}

func TestDecommissionEndsATaskThatIsHeld(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		r.connect(1)
		job := r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.Rollout = atOnce(1) })
		if err := r.engine.PermitRequested(t.Context(), "T-0000", &agentv1.PermitRequest{Key: key(job)}); err != nil {
			t.Fatal(err)
		}
		if err := r.engine.Retire(t.Context(), "T-0000"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expect(t, "status", r.task(0, job).GetStatus(), cancelled)
	}, "lyon", "lyon")
}

// The server was killed between the decommissioning and the end of the tasks.
func TestDecommissionIsMadeGoodAtTheNextStart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(1)
		job := r.create(nil)
		for _, rec := range r.fleet.terminals {
			rec.Terminal.State = fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED
		}
		r.restart()
		synctest.Wait()
		expect(t, "never permitted", r.task(0, job).GetStatus(), cancelled)
		expect(t, "permitted", r.task(1, job).GetStatus(), unknown)
	}, "lyon", "lyon")
}

// The targets of a job were resolved before the terminal was decommissioned, and its tasks are stored after.
func TestDecommissionWhileAJobIsMade(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		if err := r.engine.Retire(t.Context(), "T-0000"); err != nil {
			t.Fatal(err)
		}
		job := r.create(nil)
		expectSent(t, r.wire.take("T-0000"))
		expect(t, "status", r.task(0, job).GetStatus(), cancelled)
	}, "lyon")
}
