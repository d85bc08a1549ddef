package guided

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	// lookEvery is how often is looked at what is due, when nothing else calls for it: clocks are set.
	lookEvery = 30 * time.Second
	// dueAtOnce is how much one look reads.
	dueAtOnce = 200
	// longestPatience is where the doubling between escalations ends.
	longestPatience = 24 * time.Hour
)

// Run does what follows from time and from questions, until ctx ends.
func (d *Desk) Run(ctx context.Context) {
	var asked <-chan struct{}
	if d.cfg.Questions != nil {
		asked = d.cfg.Questions.Asked()
	}
	for {
		next, err := d.Look(ctx)
		if err != nil && ctx.Err() == nil {
			d.cfg.Log.Error("guided tasks were not all looked at; they are again in a moment", "error", err)
		}
		timer := time.NewTimer(min(lookEvery, max(time.Second, next)))
		select {
		case <-timer.C:
		case <-d.wake:
		case <-asked:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// Look does what is due now and returns how long it is until there is more.
func (d *Desk) Look(ctx context.Context) (next time.Duration, err error) {
	if d.cfg.Questions != nil {
		err = d.followQuestions(ctx)
	}
	now := d.cfg.Now()
	ids, next, e := d.due(ctx, now)
	if err = errors.Join(err, e); e != nil {
		return lookEvery, err
	}
	for _, id := range ids {
		if e := d.fall(ctx, id, now); e != nil {
			err = errors.Join(err, fmt.Errorf("guided task %q: %w", id, e))
		}
	}
	return next, err
}

// due lists what is due, the longest first.
func (d *Desk) due(ctx context.Context, now time.Time) (ids []string, next time.Duration, err error) {
	next = lookEvery
	err = d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		ids = nil
		return v.Scan(store.TableGuidedDue, nil, nil, func(key, _ []byte) bool {
			at, id := store.GuidedOfDueKey(key)
			if at > now.Unix() {
				next = time.Unix(at, 0).Sub(now)
				return false
			}
			ids = append(ids, id)
			return len(ids) < dueAtOnce
		})
	})
	return ids, next, err
}

// fall does what is due of one task.
func (d *Desk) fall(ctx context.Context, id string, now time.Time) error {
	rec, err := d.read(ctx, id)
	if err != nil {
		return err
	}
	if rec.GetTellFault() != nil {
		if err := d.tell(ctx, rec.GetTask()); err != nil {
			return err
		}
		return d.told(ctx, id)
	}
	_, err = d.change(ctx, id, func(w store.Writer, rec *storagev1.GuidedRecord) (audit.Entry, error) {
		t := rec.GetTask()
		switch {
		case !isOpen(t) || t.GetDue() == nil || now.Before(t.GetDue().AsTime().Truncate(time.Second)):
			return audit.Entry{}, errUnchanged
		case rec.GetPlanId() != "":
			return d.overtaken(rec, "nobody has answered in time", false), nil
		}
		return d.escalate(w, rec, t.GetEscalateTo(), audit.Entry{Reason: "it was due " + clock(t.GetDue())})
	})
	return err
}

// told notes that the fault knows. It is no change that anybody made, so it leaves no audit record.
func (d *Desk) told(ctx context.Context, id string) error {
	return d.cfg.Store.Update(ctx, func(w store.Writer) error {
		rec, err := read(w, id)
		if err != nil || rec.GetTellFault() == nil {
			return err
		}
		before := cloned(rec)
		rec.TellFault = nil
		return keep(w, before, rec)
	})
}

func cloned(rec *storagev1.GuidedRecord) *storagev1.GuidedRecord { return proto.CloneOf(rec) }

// escalate hands a task on and sets when it is escalated again: each time after twice as long. What was missed while the server was down
// counts once.
func (d *Desk) escalate(w store.Writer, rec *storagev1.GuidedRecord, to string, e audit.Entry) (audit.Entry, error) {
	t, now := rec.GetTask(), d.cfg.Now()
	before := t.GetAssignee()
	t.Assignee, t.State = cmp.Or(to, before), fleetv1.GuidedState_GUIDED_STATE_OPEN
	t.Escalations++
	if patience := rec.GetPatience().AsDuration(); patience > 0 {
		patience = min(2*patience, max(patience, longestPatience))
		t.Due, rec.Patience = timestamppb.New(now.Add(rec.GetPatience().AsDuration())), durationpb.New(patience)
	}
	e.Verb = "guided.escalate"
	e.Changes = []*storagev1.AuditChange{audit.Change("assignee", before, t.GetAssignee()), audit.Change("escalations", "", fmt.Sprint(t.GetEscalations()))}
	return e, d.post(w, eventEscalated, t, summary(t)+"; escalated: "+e.Reason)
}

// Escalate hands a task on because somebody wants it.
func (d *Desk) Escalate(ctx context.Context, p *access.Principal, r *fleetv1.EscalateGuidedTaskRequest) (*fleetv1.GuidedTask, error) {
	if err := errors.Join(checkName("to", r.GetTo(), true), checkText("reason", r.GetReason(), true)); err != nil {
		return nil, err
	}
	return d.change(ctx, r.GetId(), func(w store.Writer, rec *storagev1.GuidedRecord) (audit.Entry, error) {
		t := rec.GetTask()
		to := cmp.Or(r.GetTo(), t.GetEscalateTo())
		switch {
		case !isOpen(t):
			return audit.Entry{}, errClosed(t)
		case to == "":
			return audit.Entry{}, refusal.New(refusal.Invalid, "NOBODY_NAMED", "guided task %q: its entry names nobody to escalate to", t.GetId()).At("to").
				Then("say to whom, with --to")
		}
		reason := cmp.Or(r.GetReason(), p.Name.ID+" wants it")
		return d.escalate(w, rec, to, audit.Entry{Actor: p.Name, Reason: reason})
	})
}
