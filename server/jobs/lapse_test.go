package jobs

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// revoke shuts an operator out, on disk and in the engine, as the API does.
func (r *rig) revoke(name string) {
	r.t.Helper()
	r.storeRevoked(name)
	if err := r.engine.OperatorRevoked(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

func (r *rig) storeRevoked(name string) {
	r.t.Helper()
	text, err := proto.Marshal(&storagev1.OperatorRecord{Operator: &fleetv1.Operator{Name: name, Revoked: true}})
	if err == nil {
		err = r.store.Update(r.t.Context(), func(w store.Writer) error { return w.Put(store.TableOperators, store.Key(name), text) })
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// What has not started when an approval's time is over waits again, also what was already sent.
func TestAnApprovalThatExpires(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		r.connect(1)
		job := r.create(needing(1))
		if err := r.approve(approver("bob"), job, time.Minute); err != nil {
			t.Fatal(err)
		}
		expectSent(t, r.wire.take("T-0000"), "dispatch for 30s")
		if err := r.engine.Started(t.Context(), "T-0001", &agentv1.Started{Key: key(job)}); err != nil {
			t.Fatal(err)
		}
		r.wire.take("T-0001")
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		expectSent(t, r.wire.take("T-0000"), "hold")
		expectSent(t, r.wire.take("T-0001"))
		asks := &agentv1.PermitRequest{Key: key(job), Reason: agentv1.HoldReason_HOLD_REASON_HELD}
		if err := r.engine.PermitRequested(t.Context(), "T-0000", asks); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expectSent(t, r.wire.take("T-0000"))
		expect(t, "wait of what was held", r.task(0, job).GetWait().GetReason(), byApprovalReason)
		expect(t, "what had started", r.task(1, job).GetState(), running)
		expect(t, "lapsed", r.job(job).GetApproval().GetApprovals()[0].GetLapsed(), "it has expired")
		r.connect(2)
		expectSent(t, r.wire.take("T-0002"))
		r.restart()
		r.connect(2)
		expectSent(t, r.wire.take("T-0002"))
		r.mustApprove(approver("bob"), job)
		expectSent(t, r.wire.take("T-0002"), "dispatch for 30s")
		expect(t, "approvals", len(r.job(job).GetApproval().GetApprovals()), 1)
	}, "lyon", "lyon", "lyon")
}

func TestAnApprovalEndsWithItsJob(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(needing(1))
		if err := r.approve(approver("bob"), job, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		given := r.job(job).GetApproval().GetApprovals()[0]
		expect(t, "expires", given.GetExpires().AsTime(), job.GetExpires().AsTime())
	}, "lyon")
}

func TestARevokedApproverCountsNoMore(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(needing(1))
		r.mustApprove(approver("bob"), job)
		r.revoke("bob")
		expect(t, "lapsed", r.job(job).GetApproval().GetApprovals()[0].GetLapsed(), "bob was revoked")
		r.connect(0)
		expectSent(t, r.wire.take("T-0000"))
		expect(t, "audit records", r.audited("job.approval-lapse"), 1)
		expectRefusal(t, r.approve(approver("bob"), job, 0), "REVOKED")
		r.mustApprove(approver("cleo"), job)
		expectSent(t, r.wire.take("T-0000"), "dispatch for 30s")
	}, "lyon")
}

// The server may be killed between the revocation and its consequence.
func TestARevocationIsNotForgottenByAKilledServer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(needing(1))
		r.mustApprove(approver("bob"), job)
		r.storeRevoked("bob")
		r.restart()
		r.connect(0)
		expectSent(t, r.wire.take("T-0000"))
		expect(t, "lapsed", r.job(job).GetApproval().GetApprovals()[0].GetLapsed(), "bob was revoked")
	}, "lyon")
}

func TestARevokedRequestersJobStartsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(needing(1))
		r.mustApprove(approver("bob"), job)
		r.revoke("ada")
		r.connect(0)
		expectSent(t, r.wire.take("T-0000"))
		expect(t, "lapsed", r.job(job).GetApproval().GetApprovals()[0].GetLapsed(), "its requester ada was revoked")
		expectRefusal(t, r.approve(approver("cleo"), job, 0), "REQUESTER_REVOKED")
	}, "lyon")
}

func TestARestartKeepsApprovals(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(needing(2))
		r.restart()
		r.mustApprove(approver("bob"), job)
		r.restart()
		r.connect(0)
		expectSent(t, r.wire.take("T-0000"))
		expect(t, "detail", r.task(0, job).GetWait().GetDetail(), "1 of 2 approvals given; asks for an approver of site lyon who is not ada or bob")
		r.mustApprove(approver("cleo"), job)
		expectSent(t, r.wire.take("T-0000"), "dispatch for 30s")
	}, "lyon")
}

// A rejection that is on disk ends the job although the server was killed before it could.
func TestARejectionIsNotForgottenByAKilledServer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(needing(1))
		change := func(w store.Writer, rec *storagev1.JobRecord) error {
			entry, err := r.engine.reject(approver("bob"), rec, "no")
			if err != nil || entry == nil {
				return fmt.Errorf("reject: %v, %w", entry, err)
			}
			return put(w, store.TableJobs, store.JobKey(job.GetId()), rec)
		}
		err := r.store.Update(t.Context(), func(w store.Writer) error {
			rec, err := readJob(w, job.GetId())
			if err != nil {
				return err
			}
			return change(w, rec)
		})
		if err != nil {
			t.Fatal(err)
		}
		r.restart()
		synctest.Wait()
		expect(t, "status", r.task(0, job).GetStatus(), cancelled)
		expect(t, "reason", r.task(0, job).GetResult().GetReason(), "rejected by bob: no")
	}, "lyon")
}

// Nothing but an approval of exactly what is asked now counts.
func TestAnApprovalOfAnotherDigestCountsNot(t *testing.T) {
	now := time.Now()
	a := &fleetv1.ApprovalState{Needed: 1, Digest: "b", Approvals: []*fleetv1.Approval{{By: "bob", Digest: "a", Expires: timestamppb.New(now.Add(time.Hour))}}}
	expect(t, "approvals that count", len(counting(a, now)), 0)
	a.Digest = "a"
	expect(t, "approvals that count when the digest is the same", len(counting(a, now)), 1)
}

// tardyStore keeps the first of its updates from coming back before another has, or a minute is over.
type tardyStore struct {
	store.Store
	mu    sync.Mutex
	begun bool
	other chan struct{}
}

func (s *tardyStore) Update(ctx context.Context, fn func(store.Writer) error) error {
	s.mu.Lock()
	first := !s.begun
	s.begun = true
	s.mu.Unlock()
	err := s.Store.Update(ctx, fn)
	if !first {
		select {
		case s.other <- struct{}{}:
		default:
		}
		return err
	}
	select {
	case <-s.other:
		// The other goes on first.
		time.Sleep(time.Minute)
	case <-time.After(time.Minute):
	}
	return err
}

// The engine must see approvals in the order in which they were stored, or the later one would be lost to it.
func TestApprovalsReachTheEngineInTheirOrder(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(needing(2))
		r.disk.Store = &tardyStore{Store: r.store, other: make(chan struct{}, 1)}
		var all sync.WaitGroup
		for _, name := range []string{"bob", "cleo"} {
			all.Go(func() {
				if err := r.tryApprove(approver(name), job); err != nil {
					t.Errorf("%s approves: %v", name, err)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		expect(t, "approvals", len(r.job(job).GetApproval().GetApprovals()), 2)
		expectSent(t, r.wire.take("T-0000"), "dispatch for 30s")
	}, "lyon")
}
