package jobs

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/rollout"
)

// soaking is a rollout with a wave of two and ten minutes after it.
func soaking() *fleetv1.Rollout {
	return &fleetv1.Rollout{Waves: []*fleetv1.Amount{rollout.Count(2)}, Soak: durationpb.New(10 * time.Minute), MaxErrors: rollout.Count(1)}
}

func TestSoak(t *testing.T) {
	// served is a job whose first wave is done.
	served := func(r *rig) *fleetv1.Job {
		r.connectAll()
		job := r.create(spreading(soaking()))
		r.end(0, job, succeeded)
		r.end(1, job, succeeded)
		return job
	}
	pass := func(d time.Duration) {
		time.Sleep(d)
		synctest.Wait()
	}
	t.Run("well", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			job := served(r)
			w := r.expectWait(2, job, fleetv1.WaitReason_WAIT_REASON_WAVE, "the health of those served is watched until")
			if until := r.job(job).GetProgress().GetSoakUntil(); !until.AsTime().Equal(w.GetNextLook().AsTime()) {
				t.Errorf("the soak ends %s and the task is looked at %s", until.AsTime(), w.GetNextLook().AsTime())
			}
			pass(10*time.Minute - time.Second)
			expect(t, "running before the end of the soak", r.running(job), "")
			pass(time.Second)
			expect(t, "running after it", r.running(job), "2 3 4")
		}, lyon(5)...)
	})
	t.Run("one is unhealthy", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			job := served(r)
			r.facts(1, false)
			got := r.job(job)
			expect(t, "reason", got.GetPause().GetReason(), "offline or unhealthy after they were served: line-1 (the limit is 1)")
			expect(t, "sick", strings.Join(got.GetProgress().GetSick(), " "), "line-1")
			pass(time.Hour - 11*time.Minute)
			expect(t, "running after the soak", r.running(job), "")
			if _, err := r.engine.Resume(t.Context(), admin(), job.GetId(), "it is a known one"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			expect(t, "running when it was forgiven", r.running(job), "2 3 4")
		}, lyon(5)...)
	})
	t.Run("one goes away", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			job := served(r)
			r.disconnect(0)
			pass(awayPatience - time.Second)
			if r.job(job).GetPause() != nil {
				t.Error("a line that is cut for a moment paused the job")
			}
			r.connect(0)
			r.disconnect(0)
			pass(awayPatience + time.Second)
			expect(t, "reason", r.job(job).GetPause().GetReason(), "offline or unhealthy after they were served: line-0 (the limit is 1)")
		}, lyon(5)...)
	})
	t.Run("a restart of the server", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			job := served(r)
			pass(9*time.Minute + 55*time.Second)
			r.restart()
			pass(10 * time.Second)
			expect(t, "wave before anybody is back", r.job(job).GetProgress().GetWave(), 1)
			for i := range 5 {
				r.connect(i)
			}
			pass(awayPatience)
			if p := r.job(job).GetPause(); p != nil {
				t.Errorf("a restart of the server paused the job: %s", p.GetReason())
			}
			expect(t, "running after the soak", r.running(job), "2 3 4")
		}, lyon(5)...)
	})
}

// facts lets an agent say that its endpoint runs, or not.
func (r *rig) facts(i int, well bool) {
	r.t.Helper()
	s := &actionv1.ServiceState{Service: "Nymi Bluetooth Endpoint", Installed: true, Status: actionv1.ServiceStatus_SERVICE_STATUS_RUNNING}
	if !well {
		s.Status = actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
	}
	told := &agentv1.Facts{Services: []*actionv1.ServiceState{s}}
	if err := r.engine.Facts(r.t.Context(), terminalID(i), r.sessionOf(i), fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL, told); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

// What the engine decides by itself is written when the disk takes it again, once and in order.
func TestADecisionOutlastsAFullDisk(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		job := r.create(spreading(&fleetv1.Rollout{Waves: []*fleetv1.Amount{rollout.Count(1)}, Soak: durationpb.New(time.Minute)}))
		r.end(0, job, succeeded)
		r.disk.set(true)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		expect(t, "records of the next wave while the disk is full", r.audited("job.wave"), 0)
		expect(t, "started while the disk is full", r.running(job), "")
		r.disk.set(false)
		time.Sleep(2 * retryAfter)
		synctest.Wait()
		expect(t, "records of the next wave", r.audited("job.wave"), 1)
		expect(t, "running", r.running(job), "1 2")
		r.restart()
		expect(t, "wave after a restart", r.job(job).GetProgress().GetWave(), 2)
	}, lyon(3)...)
}

// A terminal that is taken out of service in a soak is no victim of the job.
func TestADecommissionedTerminalIsNotSick(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		job := r.create(spreading(soaking()))
		r.end(0, job, succeeded)
		r.end(1, job, succeeded)
		if err := r.engine.Retire(t.Context(), terminalID(1)); err != nil {
			t.Fatal(err)
		}
		r.disconnect(1)
		time.Sleep(2 * awayPatience)
		synctest.Wait()
		if p := r.job(job).GetPause(); p != nil {
			t.Errorf("a decommissioned terminal paused the job: %s", p.GetReason())
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		expect(t, "running after the soak", r.running(job), "2 3 4")
	}, lyon(5)...)
}

// What a person has forgiven in a soak stays forgiven when the server starts anew.
func TestTheForgivenSickStayForgivenAfterARestart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		job := r.create(spreading(soaking()))
		r.end(0, job, succeeded)
		r.end(1, job, succeeded)
		r.disconnect(1)
		time.Sleep(awayPatience + time.Second)
		synctest.Wait()
		if r.job(job).GetPause() == nil {
			t.Fatal("a terminal that went away did not pause the job")
		}
		if _, err := r.engine.Resume(t.Context(), admin(), job.GetId(), "known"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.restart()
		for _, i := range []int{0, 2, 3, 4} {
			r.connect(i)
		}
		time.Sleep(2 * awayPatience)
		synctest.Wait()
		if p := r.job(job).GetPause(); p != nil {
			t.Errorf("after a restart the job is paused again for what was forgiven: %s", p.GetReason())
		}
	}, lyon(5)...)
}
