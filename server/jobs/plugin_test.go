package jobs

import (
	"testing"
	"testing/synctest"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// frozenHash is the hash that the last dispatch to a terminal lets run.
func (w *wire) frozenHash(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	hash := "no dispatch"
	for _, m := range w.sent[id] {
		if d, ok := m.GetMessage().(*agentv1.ConnectResponse_Dispatch); ok {
			hash = d.Dispatch.GetTask().GetPluginSha256()
		}
	}
	return hash
}

// reports tells the engine which plugins a terminal has.
func (r *rig) reports(i int, sha256 ...string) {
	r.t.Helper()
	r.fleet.terminals[i].PluginSha256 = sha256
	if err := r.engine.PluginsSeen(r.t.Context(), terminalID(i), sha256); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

func TestADispatchNamesTheApprovedPlugin(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		r.create(nil)
		expect(t, "hash for a job that needs no approval", r.wire.frozenHash("T-0000"), "")
		job := r.create(needing(1))
		r.mustApprove(approver("bob"), job)
		expect(t, "hash for an approved job", r.wire.frozenHash("T-0000"), "aa")
	}, "lyon")
}

func TestAnotherPluginThanTheApprovedOneIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.fleet.actions["bb"] = restart()
		job := r.create(needing(1))
		r.mustApprove(approver("bob"), job)
		r.reports(0, "bb")
		r.connect(0)
		expectSent(t, r.wire.take("T-0000"))
		task := r.task(0, job)
		expect(t, "status", task.GetStatus(), refused)
		expect(t, "reason", task.GetResult().GetReason(), "approved for plugin endpoint sha256 aa, it now has bb")
		if task.GetResult().GetNextStep() == "" {
			t.Error("a refusal must say what to do next")
		}
		expect(t, "the digest that was approved", r.job(job).GetApproval().GetDigest(), job.GetApproval().GetDigest())
	}, "lyon", "lyon")
}

// A permit that was out when the line was cut is the agent's to answer; when it says that nothing started, nothing will.
func TestAnotherPluginAfterAPermit(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.fleet.actions["bb"] = restart()
		r.connect(0)
		r.connect(1)
		job := r.create(needing(1))
		r.mustApprove(approver("bob"), job)
		for i := range 2 {
			r.disconnect(i)
			r.reports(i, "bb")
		}
		r.wire.take("T-0000")
		r.connect(0, open(job, accepted))
		r.connect(1, open(job, started))
		expectSent(t, r.wire.take("T-0000"), "cancel")
		expect(t, "status of what had not started", r.task(0, job).GetStatus(), refused)
		expect(t, "state of what had", r.task(1, job).GetState(), running)
	}, "lyon", "lyon")
}

func TestAPluginThatChangesBeforeAllHaveApproved(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.fleet.actions["bb"] = restart()
		job := r.create(needing(2))
		r.mustApprove(approver("bob"), job)
		r.reports(0, "bb")
		r.connect(0)
		now := r.job(job).GetApproval()
		if now.GetDigest() == job.GetApproval().GetDigest() {
			t.Error("the digest is as before, though another plugin would run")
		}
		expect(t, "lapsed", now.GetApprovals()[0].GetLapsed(), "the plugin for ble-restart changed on T-0000")
		expect(t, "audit records", r.audited("job.approval-lapse"), 1)
		expect(t, "new digest in the audit record", r.change("job.approval-lapse", "digest"), now.GetDigest())
		_, err := r.engine.Approve(t.Context(), approver("cleo"), &fleetv1.ApproveJobRequest{Id: job.GetId(), Digest: job.GetApproval().GetDigest()})
		expectRefusal(t, err, "DIGEST_CHANGED")
		r.restart()
		r.reports(0, "bb")
		r.connect(0)
		expect(t, "digest after a restart", r.job(job).GetApproval().GetDigest(), now.GetDigest())
		r.mustApprove(approver("bob"), job)
		r.mustApprove(approver("cleo"), job)
		expect(t, "hash that may run", r.wire.frozenHash("T-0000"), "bb")
	}, "lyon")
}

// A plugin whose manifest is not known yet is frozen when it is; nothing unknown is ever approved.
func TestAPluginThatIsNotKnownWhenTheJobIsApproved(t *testing.T) {
	for name, known := range map[string]bool{"told in time": true, "never told": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				job := r.create(needing(1))
				r.reports(0, "bb")
				r.connect(0)
				expect(t, "wait", r.task(0, job).GetWait().GetReason(), byApprovalReason)
				if known {
					r.fleet.actions["bb"] = restart()
					r.reports(0, "bb")
				}
				r.mustApprove(approver("bob"), job)
				if known {
					expect(t, "hash that may run", r.wire.frozenHash("T-0000"), "bb")
					return
				}
				expectSent(t, r.wire.take("T-0000"))
				expect(t, "status", r.task(0, job).GetStatus(), refused)
			}, "lyon")
		})
	}
}

func TestTheSamePluginsChangeNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(needing(2))
		r.mustApprove(approver("bob"), job)
		r.reports(0, "cc", "aa")
		expect(t, "lapsed", r.job(job).GetApproval().GetApprovals()[0].GetLapsed(), "")
		expect(t, "audit records", r.audited("job.approval-lapse"), 0)
	}, "lyon")
}

// A plugin that comes while approvals are wanted is put before the approvers only if the job, as it was made, fits it: what it asks
// for more than the job has cannot be had by one approval of the digest.
func TestAPluginThatAsksForMoreThanTheJobHasIsNotApproved(t *testing.T) {
	for name, harden := range map[string]func(old, a *actionv1.Action){
		"more approvals":            func(old, a *actionv1.Action) { old.ReadOnly, a.ReadOnly, a.Approvals = false, false, 2 },
		"it may interrupt people":   func(_, a *actionv1.Action) { a.Disruptive = true },
		"it changes something":      func(_, a *actionv1.Action) { a.ReadOnly = false },
		"it refuses the parameters": func(_, a *actionv1.Action) { a.Params[0].Min = "30s" },
		"it is for another role":    func(_, a *actionv1.Action) { a.Roles = []string{"nes-host"} },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.fleet.actions["aa"].ReadOnly = true
				r.fleet.actions["bb"] = restart()
				r.fleet.actions["bb"].ReadOnly = true
				harden(r.fleet.actions["aa"], r.fleet.actions["bb"])
				r.connectAll()
				job := r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.Rollout, q.Spec.Approvals = tolerant(), 1 })
				r.reports(0, "bb")
				r.reports(0, "bb")
				r.mustApprove(approver("bob"), job)
				expectSent(t, r.wire.take(terminalID(0)))
				task := r.task(0, job)
				expect(t, "status", task.GetStatus(), refused)
				expect(t, "reason", task.GetResult().GetReason(), "when the job was approved the terminal had no plugin for it, or one that asks for more than the job has")
				expectSent(t, r.wire.take(terminalID(1)), "dispatch for 30s")
			}, lyon(2)...)
		})
	}
}
