package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// How long an approval may count.
const (
	minValidity = time.Minute
	maxValidity = 30 * 24 * time.Hour
)

// Approve gives the caller's approval to what the digest covers. An approval of the same person that counts already is left as
// it is.
func (e *Engine) Approve(ctx context.Context, p *access.Principal, r *fleetv1.ApproveJobRequest) (*fleetv1.Job, error) {
	if err := checkValidity(r); err != nil {
		return nil, err
	}
	return e.decide(ctx, p, r.GetId(), r.GetReason(), func(w store.Writer, rec *storagev1.JobRecord) (*audit.Entry, error) {
		return e.approve(w, p, rec, r)
	})
}

// Reject ends a job that waits for approval. It is no error when it was rejected already.
func (e *Engine) Reject(ctx context.Context, p *access.Principal, id, reason string) (*fleetv1.Job, error) {
	return e.decide(ctx, p, id, reason, func(_ store.Writer, rec *storagev1.JobRecord) (*audit.Entry, error) {
		return e.reject(p, rec, reason)
	})
}

// decide changes a job's approvals by the word of an operator.
func (e *Engine) decide(ctx context.Context, p *access.Principal, id, reason string, change approvalChange) (*fleetv1.Job, error) {
	if err := audit.CheckReason("reason", reason); err != nil {
		return nil, err
	}
	job, err := e.Get(ctx, p, id)
	if err != nil {
		return nil, err
	}
	err = e.changeApproval(ctx, job.GetId(), func(w store.Writer, rec *storagev1.JobRecord) (*audit.Entry, error) {
		o := access.Object{Kind: access.Job, Name: job.GetId(), Field: "id"}
		if err := access.CheckSites(p, access.Approve, access.Every, o, rec.GetJob().GetSites()); err != nil {
			return nil, err
		}
		return change(w, rec)
	})
	if err != nil {
		return nil, err
	}
	return e.Get(ctx, p, id)
}

func checkValidity(r *fleetv1.ApproveJobRequest) error {
	if r.GetDigest() == "" {
		return refusal.New(refusal.Invalid, "NO_DIGEST", "job %q: no digest says what is approved", clip(r.GetId(), maxShown)).At("digest").
			Then("look at the job and approve the digest that it shows")
	}
	d := r.GetValidFor()
	if d != nil && (!d.IsValid() || d.AsDuration() < minValidity || d.AsDuration() > maxValidity) {
		return refusal.New(refusal.Invalid, "BAD_VALIDITY", "valid_for: is %s, want 1m to 720h", d.AsDuration()).At("valid_for").
			Then("give a time such as 2h, or none for as long as the job")
	}
	return nil
}

// approvalChange changes a job's approvals inside an update, and says what the audit record tells of it; nil when nothing changed.
type approvalChange func(w store.Writer, rec *storagev1.JobRecord) (*audit.Entry, error)

// changeApproval commits a change of a job's approvals, with its audit record, and brings it to the loop. One goes after the
// other, so that the loop sees them in the order of the commits: of two people who approve at the same moment both count.
func (e *Engine) changeApproval(ctx context.Context, id string, change approvalChange) error {
	select {
	case e.judging <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-e.judging }()
	made, err := e.writeApproval(ctx, id, change)
	if err != nil || made == nil {
		return err
	}
	return e.do(context.WithoutCancel(ctx), func() { e.amended(id, made, e.approvalChanged) })
}

// writeApproval commits a change of a job's approvals and returns what it makes of the engine's own record; nil when nothing
// changed.
func (e *Engine) writeApproval(ctx context.Context, id string, change approvalChange) (made *amendment, err error) {
	err = e.st.Update(ctx, func(w store.Writer) error {
		made = nil
		rec, err := readJob(w, id)
		if err != nil {
			return err
		}
		entry, err := change(w, rec)
		if err != nil || entry == nil {
			return err
		}
		made = &amendment{entry: *entry, change: func(job *fleetv1.Job, own *storagev1.JobRecord) {
			job.Approval, own.PluginSha256 = proto.CloneOf(rec.GetJob().GetApproval()), rec.GetPluginSha256()
			own.SecretsSha256 = rec.GetSecretsSha256()
		}}
		return errors.Join(put(w, store.TableJobs, store.JobKey(id), rec), audit.Append(w, e.now(), *entry))
	})
	return made, err
}

func (e *Engine) approve(w store.Reader, p *access.Principal, rec *storagev1.JobRecord, r *fleetv1.ApproveJobRequest) (*audit.Entry, error) {
	job, a, now := rec.GetJob(), rec.GetJob().GetApproval(), e.now()
	if job.GetRequester() == p.Name.ID {
		return nil, refusal.New(refusal.Denied, "OWN_JOB", "job %q: %s has asked for it and cannot approve it", job.GetId(), p.Name.ID).
			Then("ask another approver of its sites")
	}
	if err := mayStillJudge(w, job, p.Name.ID); err != nil {
		return nil, err
	}
	if _, err := lapse(w, job, now); err != nil {
		return nil, err
	}
	for _, given := range a.GetApprovals() {
		if given.GetBy() == p.Name.ID && counts(a, given, now) && given.GetDigest() == r.GetDigest() {
			return nil, nil
		}
	}
	if waits, why := awaitsApproval(job, now); !waits {
		return nil, errNotAwaiting(job, why)
	}
	if r.GetDigest() != a.GetDigest() {
		return nil, refusal.New(refusal.Conflict, "DIGEST_CHANGED", "job %q: what the digest covers has changed since it was looked at", job.GetId()).
			At("digest").Then("look at it again with `fleetctl job show %s`, then decide again", job.GetId())
	}
	return give(p, rec, r, now), nil
}

// give adds an approval that was found good, and tells of it.
func give(p *access.Principal, rec *storagev1.JobRecord, r *fleetv1.ApproveJobRequest, now time.Time) *audit.Entry {
	job, a := rec.GetJob(), rec.GetJob().GetApproval()
	given := &fleetv1.Approval{By: p.Name.ID, Time: timestamppb.New(now), Reason: r.GetReason(), Digest: a.GetDigest(), Expires: job.GetExpires()}
	if d := r.GetValidFor(); d != nil && now.Add(d.AsDuration()).Before(job.GetExpires().AsTime()) {
		given.Expires = timestamppb.New(now.Add(d.AsDuration()))
	}
	a.Approvals = append(withoutBy(a.GetApprovals(), p.Name.ID), given)
	entry := jobEntry(p.Name, "job.approve", rec, r.GetReason())
	entry.Changes = []*storagev1.AuditChange{
		audit.Change("digest", "", a.GetDigest()),
		audit.Change("expires", "", given.GetExpires().AsTime().Format(time.RFC3339)),
		audit.Change("approvals", "", fmt.Sprintf("%d of %d", len(counting(a, now)), a.GetNeeded())),
	}
	return &entry
}

// mayStillJudge looks at the operators' records in the same update: a revocation that is on disk cannot be overtaken.
func mayStillJudge(w store.Reader, job *fleetv1.Job, by string) error {
	approverGone, err := revoked(w, by)
	if err != nil {
		return err
	}
	requesterGone, err := revoked(w, job.GetRequester())
	switch {
	case err != nil:
		return err
	case approverGone:
		return refusal.New(refusal.Denied, "REVOKED", "operator %q: was revoked", by).Then("ask another approver of its sites")
	case requesterGone:
		return refusal.New(refusal.Precondition, "REQUESTER_REVOKED", "job %q: %s, who asked for it, was revoked", job.GetId(), job.GetRequester()).
			Then("reject it, and ask anew for what is still needed")
	}
	return nil
}

// withoutBy leaves out the approvals of one person; they have lapsed when another is given.
func withoutBy(all []*fleetv1.Approval, by string) (others []*fleetv1.Approval) {
	for _, given := range all {
		if given.GetBy() != by {
			others = append(others, given)
		}
	}
	return others
}

func (e *Engine) reject(p *access.Principal, rec *storagev1.JobRecord, reason string) (*audit.Entry, error) {
	job, now := rec.GetJob(), e.now()
	if job.GetApproval().GetRejection() != nil {
		return nil, nil
	}
	if waits, why := awaitsApproval(job, now); !waits {
		return nil, errNotAwaiting(job, why)
	}
	job.Approval.Rejection = &fleetv1.Approval{By: p.Name.ID, Time: timestamppb.New(now), Reason: reason, Digest: job.GetApproval().GetDigest()}
	entry := jobEntry(p.Name, "job.reject", rec, reason)
	entry.Changes = []*storagev1.AuditChange{audit.Change("digest", "", job.GetApproval().GetDigest())}
	return &entry, nil
}

func errNotAwaiting(job *fleetv1.Job, why string) error {
	no := refusal.New(refusal.Precondition, "AWAITS_NO_APPROVAL", "job %q: %s", job.GetId(), why)
	if strings.HasPrefix(why, "has the") || job.GetApproval() == nil {
		return no.Then("to stop it, cancel it or pause it")
	}
	return no.Then("look at it with `fleetctl describe job %s`, and ask anew for what is still needed", job.GetId())
}

// approvalChanged goes on with a job whose approvals are others now.
func (e *Engine) approvalChanged(j *job) {
	if j.rec.GetJob().GetApproval().GetRejection() != nil {
		e.cancelled(j)
		return
	}
	now := e.now()
	j.changedThroughout()
	e.lookAtApprovals(j, now)
	if j.unapproved(now) {
		e.holdBack(j, nil, "its approvals count no more")
		return
	}
	for _, t := range j.tasks {
		if t.phase != done && t.changedPlugin(now) {
			e.expireOrCancel(t)
		}
	}
	e.advance(j)
}
