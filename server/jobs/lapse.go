package jobs

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/store"
)

// lapsedByTime is said of an approval whose time is over.
const lapsedByTime = "it has expired"

// lapse notes which approvals count no more: those whose time is over, and those of people who were revoked. A job of a requester
// who was revoked has none that counts. It reports whether any lapsed.
func lapse(r store.Reader, job *fleetv1.Job, now time.Time) (any bool, err error) {
	any = lapseByTime(job.GetApproval(), now)
	requesterGone, err := revoked(r, job.GetRequester())
	if err != nil {
		return false, err
	}
	for _, given := range job.GetApproval().GetApprovals() {
		if given.GetLapsed() != "" {
			continue
		}
		gone, err := revoked(r, given.GetBy())
		switch {
		case err != nil:
			return false, err
		case gone:
			given.Lapsed, any = given.GetBy()+" was revoked", true
		case requesterGone:
			given.Lapsed, any = "its requester "+job.GetRequester()+" was revoked", true
		}
	}
	return any, nil
}

func lapseByTime(a *fleetv1.ApprovalState, now time.Time) (any bool) {
	for _, given := range a.GetApprovals() {
		if given.GetLapsed() == "" && !now.Before(given.GetExpires().AsTime()) {
			given.Lapsed, any = lapsedByTime, true
		}
	}
	return any
}

// lookAtApprovals notes in the running state what has lapsed by time, and when the next will. What was sent and has not started
// is then taken back.
func (e *Engine) lookAtApprovals(j *job, now time.Time) {
	a := j.rec.GetJob().GetApproval()
	lapsed := lapseByTime(a, now)
	if lapsed {
		j.changedItself()
		j.changedThroughout()
	}
	for _, given := range a.GetApprovals() {
		if counts(a, given, now) {
			j.lookNoLaterThan(given.GetExpires().AsTime())
		}
	}
	if lapsed && j.unapproved(now) {
		e.holdBack(j, nil, "an approval of it has expired")
	}
}

// revoked reports whether an operator was shut out. Who is no operator (a schedule, the server) cannot have been.
func revoked(r store.Reader, name string) (bool, error) {
	text, err := r.Get(store.TableOperators, store.Key(name))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	rec := &storagev1.OperatorRecord{}
	err = proto.Unmarshal(text, rec)
	return rec.GetOperator().GetRevoked(), err
}

// OperatorRevoked tells that an operator was shut out: what that person approved or asked for, and has not started, waits for
// others. It may be repeated; what a killed server left undone is done when its store is opened again.
func (e *Engine) OperatorRevoked(ctx context.Context) error {
	var ids []string
	err := e.do(ctx, func() {
		for _, j := range e.active {
			if j.rec.GetJob().GetApproval() != nil {
				ids = append(ids, j.id)
			}
		}
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := e.changeApproval(ctx, id, e.lapseRevoked); err != nil {
			return err
		}
	}
	return nil
}

// lapseAbsent does it for people who were shut out just before the last engine was killed.
func (e *Engine) lapseAbsent(ctx context.Context) error {
	for _, j := range e.active {
		if j.rec.GetJob().GetApproval() == nil {
			continue
		}
		made, err := e.writeApproval(ctx, j.id, e.lapseRevoked)
		if err != nil {
			return err
		}
		if made != nil {
			made.change(j.rec.GetJob(), j.rec)
		}
	}
	return nil
}

func (e *Engine) lapseRevoked(w store.Writer, rec *storagev1.JobRecord) (*audit.Entry, error) {
	before := proto.CloneOf(rec.GetJob().GetApproval())
	any, err := lapse(w, rec.GetJob(), e.now())
	if err != nil || !any {
		return nil, err
	}
	return lapsedEntry(rec, before), nil
}

// lapsedEntry tells which approvals count no more. before is how they were.
func lapsedEntry(rec *storagev1.JobRecord, before *fleetv1.ApprovalState) *audit.Entry {
	entry := audit.Entry{Verb: "job.approval-lapse", Object: "job/" + rec.GetJob().GetId()}
	if sites := rec.GetJob().GetSites(); len(sites) == 1 {
		entry.Site = sites[0]
	}
	after := rec.GetJob().GetApproval()
	for i, given := range after.GetApprovals() {
		if was := before.GetApprovals()[i].GetLapsed(); was != given.GetLapsed() {
			entry.Changes = append(entry.Changes, audit.Change("approval of "+given.GetBy(), was, given.GetLapsed()))
		}
	}
	if before.GetDigest() != after.GetDigest() {
		entry.Changes = append(entry.Changes, audit.Change("digest", before.GetDigest(), after.GetDigest()))
	}
	return &entry
}
