package jobs

import (
	"slices"
	"testing"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/rollout"
)

// floored is a rollout that keeps so many terminals of each zone working.
func floored(working uint32) *fleetv1.Rollout {
	r := rollout.AllAtOnce()
	r.Floor = &fleetv1.Floor{Label: "zone", Working: working}
	return r
}

// zones puts the terminals into zones.
func (r *rig) zones(names ...string) {
	for i, name := range names {
		r.fleet.terminals[i].Terminal.Labels = map[string]string{"zone": name}
	}
}

func TestAFloorKeepsTerminalsWorking(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.zones("a", "a", "a", "b", "b")
		r.connectAll()
		job := r.create(spreading(floored(2)))
		expect(t, "running", r.running(job), "0")
		r.expectWait(1, job, fleetv1.WaitReason_WAIT_REASON_FLOOR, "2 of 3 terminals with zone=a at lyon work, and 2 must")
		r.expectWait(3, job, fleetv1.WaitReason_WAIT_REASON_FLOOR, "2 of 2 terminals with zone=b at lyon work, and 2 must")
		r.end(0, job, succeeded)
		expect(t, "running when it is back", r.running(job), "1")
		r.disconnect(0)
		r.end(1, job, succeeded)
		expect(t, "running with one away", r.running(job), "")
		r.connect(0)
		expect(t, "running when that is back too", r.running(job), "2")
	}, lyon(5)...)
}

// Whoever asks for more than there are would wait for nothing until the job expires.
func TestAFloorThatIsTooHighIsToldBefore(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.zones("a", "a", "a", "b", "")
		r.connectAll()
		spec := &fleetv1.JobSpec{Action: "ble-restart", Selection: &fleetv1.Selection{Sites: []string{"lyon"}}, Rollout: floored(2)}
		answer, err := r.engine.Preview(t.Context(), admin(), spec)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			"1 user terminal with zone=b at lyon, and 2 must keep working: none is served while it works",
			"1 user terminal without zone at lyon, and 2 must keep working: none is served while it works",
		}
		if got := answer.GetWarnings(); !slices.Equal(got, want) {
			t.Errorf("warnings are %q, want %q", got, want)
		}
	}, lyon(5)...)
}

// The floor counts every user terminal of the site, be it a target or not, and nobody else.
func TestWhoCountsUnderAFloor(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.zones("a", "a", "a", "a")
		r.fleet.terminals[2].Terminal.Role = fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST
		r.fleet.terminals[1].PluginSha256 = nil
		r.connectAll()
		job := r.create(spreading(floored(1)))
		r.expectWait(0, job, fleetv1.WaitReason_WAIT_REASON_UNSPECIFIED, "")
		expect(t, "running: the one that is no target stays working, paris is another site", r.running(job), "0")
		r.expectWait(3, job, fleetv1.WaitReason_WAIT_REASON_FLOOR, "1 of 1 terminal with zone=a at paris works, and 1 must")
	}, "lyon", "lyon", "lyon", "paris")
}

// Repairing what does not work cannot lower what does.
func TestAFloorLetsBrokenTerminalsBeServed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.zones("a", "a")
		r.connectAll()
		job := r.create(spreading(floored(2)))
		expect(t, "running while both work", r.running(job), "")
		r.facts(1, false)
		expect(t, "running when one is unhealthy", r.running(job), "1")
		r.facts(1, true)
		r.end(1, job, succeeded)
		r.expectWait(0, job, fleetv1.WaitReason_WAIT_REASON_FLOOR, "2 of 2")
	}, lyon(2)...)
}

// Whoever is in the hands of another job does not work either.
func TestAFloorCountsOtherJobs(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.fleet.actions["aa"].Disruptive = true
		r.zones("a", "a", "a")
		r.connect(0)
		other := r.create(nil)
		r.connect(1)
		r.connect(2)
		r.ask(1, other, agentv1.HoldReason_HOLD_REASON_LOCK, "ble")
		r.end(2, other, succeeded)
		job := r.create(spreading(floored(2)))
		expect(t, "running while another job has two of three", r.running(job), "0 1")
		r.end(0, other, succeeded)
		r.end(1, other, succeeded)
		r.expectWait(2, job, fleetv1.WaitReason_WAIT_REASON_FLOOR, "1 of 3")
	}, lyon(3)...)
}

func TestAFloorHoldsAfterARestart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.zones("a", "a", "a")
		r.connectAll()
		job := r.create(spreading(floored(2)))
		r.restart()
		r.connect(1)
		r.connect(2)
		expect(t, "running while 0 may still be served", r.running(job), "0")
		r.connect(0, open(job, started))
		r.end(0, job, succeeded)
		expect(t, "running when it was", r.running(job), "1")
	}, lyon(3)...)
}

// Nothing of a floor stays behind when its job is done.
func TestAFloorIsForgottenWithItsJob(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.zones("a", "a", "a")
		r.connect(0)
		r.connect(1)
		job := r.create(func(q *fleetv1.CreateJobRequest) {
			q.Spec.Rollout, q.Spec.Selection.Sites = floored(1), []string{"lyon"}
		})
		r.end(0, job, succeeded)
		r.end(1, job, succeeded)
		r.disconnect(0)
		r.disconnect(1)
		left := -1
		if err := r.engine.do(t.Context(), func() { left = len(r.engine.terminals) }); err != nil {
			t.Fatal(err)
		}
		expect(t, "terminals that the engine still remembers", left, 0)
	}, "lyon", "lyon", "paris")
}

// A parked task that has ended does not use up the turn of the next.
func TestAFloorSkipsWhoNoLongerWaits(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.fleet.actions["bb"] = restart()
		r.zones("a", "a", "a")
		r.connectAll()
		job := r.create(func(q *fleetv1.CreateJobRequest) {
			q.Spec.Rollout, q.Spec.Approvals = tolerant(), 1
			q.Spec.Rollout.Floor = floored(2).GetFloor()
		})
		r.mustApprove(approver("bob"), job)
		expect(t, "running", r.running(job), "0")
		r.reports(1, "bb")
		expect(t, "status of the one with another plugin", r.task(1, job).GetStatus(), refused)
		r.end(0, job, succeeded)
		expect(t, "running", r.running(job), "2")
	}, lyon(3)...)
}

// A later job that takes a terminal out of use frees an earlier one's task there at once, not at the next event.
func TestAFloorDoesNotWaitForATerminalThatAnotherJobTakes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.fleet.actions["aa"].Disruptive = true
		r.zones("a")
		first := r.create(spreading(floored(1)))
		r.connect(0)
		second := r.create(nil)
		r.disconnect(0)
		r.wire.take(terminalID(0))
		r.connect(0, open(second, accepted))
		expectSent(t, r.wire.take(terminalID(0)), "dispatch for 30s", "dispatch for 30s")
		r.end(0, first, succeeded)
		r.end(0, second, succeeded)
	}, "lyon")
}
