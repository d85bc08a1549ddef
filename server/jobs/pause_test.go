package jobs

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/rollout"
)

func (r *rig) pause(job *fleetv1.Job) {
	r.t.Helper()
	if _, err := r.engine.Pause(r.t.Context(), admin(), job.GetId(), "line 3 is down"); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

func (r *rig) resume(job *fleetv1.Job) *fleetv1.Job {
	r.t.Helper()
	got, err := r.engine.Resume(r.t.Context(), admin(), job.GetId(), "")
	if err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
	return got
}

func TestAPauseReachesWhatWasSent(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		job := r.create(spreading(atOnce(2)))
		if err := r.engine.Started(t.Context(), "T-0000", &agentv1.Started{Key: key(job)}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for i := range 3 {
			r.wire.take(terminalID(i))
		}
		r.pause(job)
		r.pause(job)
		expectSent(t, r.wire.take("T-0000"))
		expectSent(t, r.wire.take("T-0001"), "hold")
		r.ask(1, job, agentv1.HoldReason_HOLD_REASON_HELD, "")
		expect(t, "running", r.running(job), "0")
		r.expectWait(1, job, fleetv1.WaitReason_WAIT_REASON_PAUSED, "paused by ada: line 3 is down")
		r.end(0, job, succeeded)
		r.disconnect(1)
		r.connect(1)
		r.connect(2)
		expectSent(t, append(r.wire.take("T-0001"), r.wire.take("T-0002")...))
		expect(t, "audit records of the pause", r.audited("job.pause"), 1)
		got := r.resume(job)
		if got.GetPause() != nil {
			t.Errorf("the resumed job shows the pause %v", got.GetPause())
		}
		over := got.GetPastPauses()
		if len(over) != 1 || over[0].GetReason() != "line 3 is down" || over[0].GetEndedBy() != "ada" || over[0].GetEnded() == nil {
			t.Errorf("the pause that is over must stay on the record; it shows %v", over)
		}
		r.resume(job)
		expect(t, "running when resumed", r.running(job), "1 2")
		expect(t, "audit records of the resumption", r.audited("job.resume"), 1)
	}, lyon(3)...)
}

// An agent of the release before does not know Hold: its permit runs out and it asks, as for a lock.
func TestAPauseReachesAnOlderAgent(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(nil)
		r.wire.take("T-0000")
		r.pause(job)
		expectSent(t, r.wire.take("T-0000"), "hold")
		r.ask(0, job, agentv1.HoldReason_HOLD_REASON_UNSPECIFIED, "ble")
		expectSent(t, r.wire.take("T-0000"))
		r.resume(job)
		expectSent(t, r.wire.take("T-0000"), "dispatch for 30s")
	}, "lyon")
}

// The answer to a Hold that was sent before the present permit says nothing of that permit.
func TestAnOldAnswerToAHoldFreesNoSlot(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		job := r.create(spreading(atOnce(1)))
		r.pause(job)
		// The permit had run out just before the Hold came; the agent answers both.
		r.ask(0, job, agentv1.HoldReason_HOLD_REASON_LOCK, "")
		r.end(1, job, succeeded)
		r.resume(job)
		expect(t, "running", r.running(job), "0")
		r.ask(0, job, agentv1.HoldReason_HOLD_REASON_HELD, "")
		expect(t, "running after the answer that is older", r.running(job), "0")
		r.ask(0, job, agentv1.HoldReason_HOLD_REASON_HELD, "")
		expect(t, "permits out when it gives the present one back", strings.Join(r.wire.take("T-0000"), ", "),
			"dispatch for 30s, hold, dispatch for 30s, dispatch for 30s")
	}, "lyon", "lyon")
}

func TestAPauseSurvivesARestart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(nil)
		r.pause(job)
		r.restart()
		r.connect(0)
		expectSent(t, r.wire.take("T-0000"))
		expect(t, "reason", r.job(job).GetPause().GetReason(), "line 3 is down")
		time.Sleep(time.Hour)
		synctest.Wait()
		expect(t, "why it expired", r.task(0, job).GetResult().GetReason(), "it waited until the job expired: paused by ada: line 3 is down")
	}, "lyon")
}

// A resumption forgives what has failed, and only that, also after a restart.
func TestAResumptionForgives(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		asked := rollout.AllAtOnce()
		asked.MaxErrors, asked.MaxConsecutive = rollout.Count(2), 2
		job := r.create(spreading(asked))
		r.end(0, job, failed)
		r.end(1, job, failed)
		if r.job(job).GetPause() == nil {
			t.Fatal("two failures of two did not pause the job")
		}
		r.resume(job)
		expect(t, "failures that count", r.job(job).GetProgress().GetErrors(), 0)
		r.end(2, job, failed)
		for _, restarted := range []bool{false, true} {
			if restarted {
				r.restart()
				r.connectAll()
			}
			p := r.job(job).GetProgress()
			if p.GetErrors() != 1 || p.GetConsecutive() != 1 || r.job(job).GetPause() != nil {
				t.Errorf("restarted=%t: %v, want one failure that counts and no pause", restarted, p)
			}
		}
		r.end(3, job, failed)
		if r.job(job).GetPause() == nil {
			t.Error("two failures after the resumption did not pause the job")
		}
		expect(t, "failures in all", r.job(job).GetCounts().GetFailed(), 4)
	}, lyon(6)...)
}

func TestWhoMayPause(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(nil)
		for what, do := range map[string]func(string) error{
			"pause":  func(id string) error { _, err := r.engine.Pause(t.Context(), at("", "lyon"), id, ""); return err },
			"resume": func(id string) error { _, err := r.engine.Resume(t.Context(), at("", "lyon"), id, ""); return err },
		} {
			if err := do(job.GetId()); err == nil {
				t.Errorf("%s by one who acts at one of two sites was taken", what)
			} else {
				expectRefusal(t, err, "RIGHT_MISSING")
			}
		}
		_, err := r.engine.Pause(t.Context(), admin(), strings.Repeat("0", 26), "")
		expectRefusal(t, err, "NOT_FOUND")
		_, err = r.engine.Pause(t.Context(), admin(), job.GetId(), "two\nlines")
		expectRefusal(t, err, "BAD_REASON")
		expect(t, "audit records", r.audited("job.pause"), 0)
	}, "lyon", "paris")
}

func TestAJobThatIsDoneCannotBePaused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(nil)
		r.end(0, job, succeeded)
		_, err := r.engine.Pause(t.Context(), admin(), job.GetId(), "")
		expectRefusal(t, err, "JOB_DONE")
		_, err = r.engine.Resume(t.Context(), admin(), job.GetId(), "")
		expectRefusal(t, err, "JOB_DONE")
	}, "lyon")
}

// Of terminals at other sites a reader learns nothing, not even that one of them failed.
func TestAPauseNamesNobodyWhomTheReaderMayNotSee(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		job := r.create(spreading(nil))
		r.end(0, job, failed)
		got, err := r.engine.Get(t.Context(), at("paris", ""), job.GetId())
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "reason as seen from paris", got.GetPause().GetReason(), "a limit of failures was reached")
		tasks, err := r.engine.Tasks(t.Context(), at("paris", ""), &fleetv1.ListTasksRequest{JobId: job.GetId()})
		if err != nil {
			t.Fatal(err)
		}
		if w := tasks.GetTasks()[0].GetWait().GetDetail(); strings.Contains(w, "line-0") {
			t.Errorf("the wait of a task at paris says %q, which names a terminal at lyon", w)
		}
	}, "lyon", "paris")
}
