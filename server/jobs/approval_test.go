package jobs

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
)

const (
	byApprovalReason = fleetv1.WaitReason_WAIT_REASON_APPROVAL
	running          = fleetv1.TaskState_TASK_STATE_RUNNING
)

func approver(name string, sites ...string) *access.Principal {
	if len(sites) == 0 {
		sites = []string{access.AllSites}
	}
	return operator(name, &fleetv1.RoleBinding{Role: fleetv1.OperatorRole_OPERATOR_ROLE_APPROVER, Sites: sites})
}

func needing(n uint32) func(*fleetv1.CreateJobRequest) {
	return func(q *fleetv1.CreateJobRequest) { q.Spec.Approvals = n }
}

// approve approves a job as it is now.
func (r *rig) approve(p *access.Principal, job *fleetv1.Job, validFor time.Duration) error {
	r.t.Helper()
	q := &fleetv1.ApproveJobRequest{Id: job.GetId(), Digest: r.job(job).GetApproval().GetDigest(), Reason: "seen"}
	if validFor > 0 {
		q.ValidFor = durationpb.New(validFor)
	}
	_, err := r.engine.Approve(r.t.Context(), p, q)
	synctest.Wait()
	return err
}

// tryApprove is approve for a goroutine of its own.
func (r *rig) tryApprove(p *access.Principal, job *fleetv1.Job) error {
	_, err := r.engine.Approve(r.t.Context(), p, &fleetv1.ApproveJobRequest{Id: job.GetId(), Digest: job.GetApproval().GetDigest()})
	return err
}

func (r *rig) mustApprove(p *access.Principal, job *fleetv1.Job) {
	r.t.Helper()
	if err := r.approve(p, job, 0); err != nil {
		r.t.Fatalf("%s approves: %v", p.Name.ID, err)
	}
}

func TestAJobWaitsForItsApprovals(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(needing(2))
		expectSent(t, r.wire.take("T-0000"))
		w := r.task(0, job).GetWait()
		expect(t, "reason", w.GetReason(), byApprovalReason)
		expect(t, "detail", w.GetDetail(), "0 of 2 approvals given; asks for an approver of site lyon who is not ada")
		if w.GetNextLook() != nil {
			t.Errorf("next look is %v: only people can end this wait", w.GetNextLook())
		}
		r.mustApprove(approver("bob"), job)
		expectSent(t, r.wire.take("T-0000"))
		expect(t, "detail", r.task(0, job).GetWait().GetDetail(), "1 of 2 approvals given; asks for an approver of site lyon who is not ada or bob")
		r.mustApprove(approver("cleo"), job)
		expectSent(t, r.wire.take("T-0000"), "dispatch for 30s")
		expect(t, "audit records", r.audited("job.approve"), 2)
		expect(t, "digest in the audit record", r.change("job.approve", "digest"), job.GetApproval().GetDigest())
		expect(t, "digest in the record of the creation", r.change("job.create", "approval_digest"), job.GetApproval().GetDigest())
	}, "lyon")
}

func TestHowManyMustApprove(t *testing.T) {
	for name, c := range map[string]struct {
		action, lyon, paris, asked uint32
		dryRun, readOnly           bool
		needed                     uint32
		reasons                    string
	}{
		"nobody":                      {},
		"the action":                  {action: 2, needed: 2, reasons: "the action asks for 2"},
		"one site":                    {lyon: 1, needed: 1, reasons: "site lyon asks for 1"},
		"two sites":                   {lyon: 1, paris: 2, needed: 2, reasons: "site paris asks for 2, site lyon asks for 1"},
		"the requester":               {asked: 1, needed: 1, reasons: "the requester asks for 1"},
		"the most counts":             {action: 1, lyon: 2, asked: 1, needed: 2, reasons: "the action asks for 1, site lyon asks for 2, the requester asks for 1"},
		"a dry run":                   {action: 2, lyon: 2, dryRun: true},
		"a dry run when asked":        {action: 2, asked: 1, dryRun: true, needed: 1, reasons: "the requester asks for 1"},
		"an action that only reads":   {action: 2, lyon: 2, readOnly: true},
		"one that reads, when asked":  {lyon: 2, asked: 1, readOnly: true, needed: 1, reasons: "the requester asks for 1"},
		"never more than two persons": {action: 7, needed: 2, reasons: "the action asks for 2"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.fleet.actions["aa"].Approvals, r.fleet.actions["aa"].ReadOnly = c.action, c.readOnly
				r.fleet.settings["lyon"] = &fleetv1.SiteSettings{Approvals: c.lyon}
				r.fleet.settings["paris"] = &fleetv1.SiteSettings{Approvals: c.paris}
				ask := func(q *fleetv1.CreateJobRequest) { q.Spec.Approvals, q.Spec.DryRun = c.asked, c.dryRun }
				spec := &fleetv1.CreateJobRequest{Spec: &fleetv1.JobSpec{Action: "ble-restart", Selection: &fleetv1.Selection{}}}
				ask(spec)
				preview, err := r.engine.Preview(t.Context(), admin(), spec.GetSpec())
				if err != nil {
					t.Fatal(err)
				}
				for what, a := range map[string]*fleetv1.ApprovalState{"preview": preview.GetApproval(), "job": r.create(ask).GetApproval()} {
					expect(t, what+": needed", a.GetNeeded(), c.needed)
					expect(t, what+": reasons", strings.Join(a.GetReasons(), ", "), c.reasons)
				}
			}, "lyon", "paris")
		})
	}
}

func TestManySitesAreOnlyCounted(t *testing.T) {
	sites := []string{"a", "b", "c", "d", "e", "f"}
	bubble(t, func(t *testing.T, r *rig) {
		for _, s := range sites {
			r.fleet.settings[s] = &fleetv1.SiteSettings{Approvals: 1}
		}
		a := r.create(nil).GetApproval()
		expect(t, "reasons", strings.Join(a.GetReasons(), ", "), "6 sites ask for 1")
	}, sites...)
}

func TestWhoMayNotApprove(t *testing.T) {
	for name, c := range map[string]struct {
		who    *access.Principal
		reason string
	}{
		"the requester":                       {admin(), "OWN_JOB"},
		"the requester by another binding":    {approver("ada", "lyon"), "OWN_JOB"},
		"the requester with several bindings": {operator("ada", append(approver("ada").Operator.GetBindings(), admin().Operator.GetBindings()...)...), "OWN_JOB"},
		"an operator":                         {at("lyon", "lyon"), "RIGHT_MISSING"},
		"an approver of another site":         {approver("bob", "paris"), "NOT_FOUND"},
		"nobody":                              {nil, "NOT_FOUND"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.connect(0)
				job := r.create(needing(1))
				expectRefusal(t, r.approve(c.who, job, 0), c.reason)
				expectSent(t, r.wire.take("T-0000"))
				expect(t, "approvals", len(r.job(job).GetApproval().GetApprovals()), 0)
				expect(t, "audit records", r.audited("job.approve"), 0)
			}, "lyon")
		})
	}
}

// An approver must be one at every site, and is told of none that is out of sight.
func TestAnApproverOfOneSiteOfTwo(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.fleet.settings["paris"] = &fleetv1.SiteSettings{Approvals: 1}
		job := r.create(nil)
		bob := approver("bob", "lyon")
		expectRefusal(t, r.approve(bob, job, 0), "RIGHT_MISSING")
		seen, err := r.engine.Get(t.Context(), bob, job.GetId())
		if err != nil {
			t.Fatal(err)
		}
		if text := seen.String(); strings.Contains(text, "paris") {
			t.Errorf("an approver of lyon is shown %s", text)
		}
		list, err := r.engine.Tasks(t.Context(), bob, &fleetv1.ListTasksRequest{JobId: job.GetId()})
		if err != nil || len(list.GetTasks()) != 1 || strings.Contains(list.String(), "paris") {
			t.Errorf("an approver of lyon is shown %v, %v", list, err)
		}
	}, "lyon", "paris")
}

func TestWhatCannotBeApproved(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(needing(1))
		digest := job.GetApproval().GetDigest()
		for reason, q := range map[string]*fleetv1.ApproveJobRequest{
			"NO_DIGEST":      {Id: job.GetId()},
			"DIGEST_CHANGED": {Id: job.GetId(), Digest: strings.Repeat("0", 64)},
			"BAD_VALIDITY":   {Id: job.GetId(), Digest: digest, ValidFor: durationpb.New(time.Second)},
			"BAD_REASON":     {Id: job.GetId(), Digest: digest, Reason: strings.Repeat("x", 1025)},
			"NOT_FOUND":      {Id: "01HZY0000000000000000000AA", Digest: digest},
		} {
			_, err := r.engine.Approve(t.Context(), approver("bob"), q)
			expectRefusal(t, err, reason)
		}
		_, err := r.engine.Approve(t.Context(), approver("bob"), &fleetv1.ApproveJobRequest{Id: job.GetId(), Digest: digest, ValidFor: durationpb.New(maxValidity + time.Second)})
		expectRefusal(t, err, "BAD_VALIDITY")
		_, err = r.tryCreate(needing(3))
		expectRefusal(t, err, "BAD_APPROVALS")
		free := r.create(nil)
		_, err = r.engine.Approve(t.Context(), approver("bob"), &fleetv1.ApproveJobRequest{Id: free.GetId(), Digest: digest})
		expectRefusal(t, err, "AWAITS_NO_APPROVAL")
	}, "lyon")
}

func TestOnePersonCountsOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(needing(2))
		for range 3 {
			r.mustApprove(approver("bob"), job)
		}
		expect(t, "approvals", len(r.job(job).GetApproval().GetApprovals()), 1)
		expect(t, "audit records", r.audited("job.approve"), 1)
		expectSent(t, r.wire.take("T-0000"))
		r.mustApprove(approver("cleo"), job)
		r.mustApprove(approver("bob"), job)
		expectRefusal(t, r.approve(approver("dan"), job, 0), "AWAITS_NO_APPROVAL")
	}, "lyon")
}

// Two people who approve at the same moment both count, in the store and in the engine.
func TestApprovalsAtTheSameMoment(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(needing(2))
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				// Each of two people asks four times.
				if err := r.tryApprove(approver(fmt.Sprintf("p%d", i%2)), job); err != nil {
					t.Errorf("approval %d: %v", i, err)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		expectSent(t, r.wire.take("T-0000"), "dispatch for 30s")
		expect(t, "audit records", r.audited("job.approve"), 2)
		r.restart()
		expect(t, "approvals after a restart", len(r.job(job).GetApproval().GetApprovals()), 2)
	}, "lyon")
}

// Of an approval, a rejection and a cancellation at the same moment the first one counts, and the end is the same in the store.
func TestApproveAgainstRejectAndCancel(t *testing.T) {
	for range 10 {
		bubble(t, func(t *testing.T, r *rig) {
			r.connect(0)
			job := r.create(needing(1))
			var all sync.WaitGroup
			var approved, rejected error
			all.Go(func() { approved = r.tryApprove(approver("bob"), job) })
			all.Go(func() { _, rejected = r.engine.Reject(t.Context(), approver("cleo"), job.GetId(), "no") })
			all.Wait()
			synctest.Wait()
			if (approved == nil) == (rejected == nil) {
				t.Fatalf("approve: %v, reject: %v: exactly one of them counts", approved, rejected)
			}
			if _, err := r.engine.Cancel(t.Context(), admin(), job.GetId(), ""); err != nil {
				t.Fatal(err)
			}
			expect(t, "dispatches", len(r.wire.take("T-0000")) > 0, approved == nil)
			r.restart()
			expect(t, "rejected in the store", r.job(job).GetApproval().GetRejection() != nil, rejected == nil)
		}, "lyon")
	}
}

func TestReject(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(needing(2))
		r.mustApprove(approver("bob"), job)
		_, err := r.engine.Reject(t.Context(), at("lyon", "lyon"), job.GetId(), "no")
		expectRefusal(t, err, "RIGHT_MISSING")
		for range 2 {
			if _, err := r.engine.Reject(t.Context(), approver("cleo"), job.GetId(), "wrong line"); err != nil {
				t.Fatalf("reject: %v", err)
			}
		}
		synctest.Wait()
		for i := range 2 {
			expect(t, "status", r.task(i, job).GetStatus(), cancelled)
			expect(t, "reason", r.task(i, job).GetResult().GetReason(), "rejected by cleo: wrong line")
		}
		expect(t, "state", r.job(job).GetState(), fleetv1.JobState_JOB_STATE_DONE)
		expect(t, "audit records", r.audited("job.reject"), 1)
		expect(t, "digest in the audit record", r.change("job.reject", "digest"), job.GetApproval().GetDigest())
		expectRefusal(t, r.approve(approver("dan"), job, 0), "AWAITS_NO_APPROVAL")
		expectSent(t, r.wire.take("T-0000"))
	}, "lyon", "lyon")
}

func TestWhatCannotBeRejected(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		_, err := r.engine.Reject(t.Context(), approver("bob"), r.create(nil).GetId(), "")
		expectRefusal(t, err, "AWAITS_NO_APPROVAL")
		job := r.create(needing(1))
		r.mustApprove(approver("bob"), job)
		_, err = r.engine.Reject(t.Context(), approver("cleo"), job.GetId(), "")
		expectRefusal(t, err, "AWAITS_NO_APPROVAL")
	}, "lyon")
}

func TestAJobThatIsNeverApprovedExpires(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(needing(1))
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		expect(t, "status", r.task(0, job).GetStatus(), expired)
		if reason := r.task(0, job).GetResult().GetReason(); !strings.Contains(reason, "0 of 1 approvals") {
			t.Errorf("the task ended with %q, want it to say that approvals were missing", reason)
		}
		expectRefusal(t, r.approve(approver("bob"), job, 0), "AWAITS_NO_APPROVAL")
	}, "lyon")
}

// An approval that comes when the job expires is refused or too late; never does a task start after the end.
func TestAnApprovalAtTheEndOfItsJob(t *testing.T) {
	for late, reason := range map[time.Duration]string{-time.Second: "", 0: "AWAITS_NO_APPROVAL", time.Second: "AWAITS_NO_APPROVAL"} {
		bubble(t, func(t *testing.T, r *rig) {
			r.connect(0)
			job := r.create(needing(1))
			time.Sleep(time.Hour + late)
			err := r.tryApprove(approver("bob"), job)
			synctest.Wait()
			if reason == "" {
				expect(t, "error", err, nil)
				expectSent(t, r.wire.take("T-0000"), "dispatch for 30s")
				return
			}
			expectRefusal(t, err, reason)
			expectSent(t, r.wire.take("T-0000"))
			expect(t, "status", r.task(0, job).GetStatus(), expired)
		}, "lyon")
	}
}

// What waits for approval says so before it is paused, and stays paused when it is approved.
func TestAPausedJobCanBeApproved(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(needing(1))
		if _, err := r.engine.Pause(t.Context(), admin(), job.GetId(), "wait"); err != nil {
			t.Fatal(err)
		}
		expect(t, "wait", r.task(0, job).GetWait().GetReason(), byApprovalReason)
		r.mustApprove(approver("bob"), job)
		expect(t, "wait after the approval", r.task(0, job).GetWait().GetReason(), fleetv1.WaitReason_WAIT_REASON_PAUSED)
		expectSent(t, r.wire.take("T-0000"))
		expect(t, "overview", r.overview(admin()), "1 jobs, 1 paused, 0 unapproved; 1 tasks, 0 running, 0 done; 1 PAUSED; 0 questions")
		if _, err := r.engine.Resume(t.Context(), admin(), job.GetId(), ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expectSent(t, r.wire.take("T-0000"), "dispatch for 30s")
	}, "lyon")
}

// A watcher is told of an approval although no task changes by it.
func TestAWatcherIsToldOfApprovals(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(needing(1))
		w, err := r.engine.Watch(t.Context(), admin(), job.GetId())
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		for given := range 2 {
			m, err := w.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			expect(t, "approvals", len(m.GetJob().GetApproval().GetApprovals()), given)
			expect(t, "tasks told of", len(m.GetTasks()), 1)
			if given == 0 {
				expect(t, "wait", m.GetTasks()[0].GetWait().GetReason(), byApprovalReason)
				r.mustApprove(approver("bob"), job)
				continue
			}
			expect(t, "wait", m.GetTasks()[0].GetWait().GetReason(), fleetv1.WaitReason_WAIT_REASON_OFFLINE)
		}
	}, "lyon")
}
