package faults

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// dueScan bounds how many faults one look reads.
const dueScan = 1000

// Due returns faults that the policy engine is to decide on now, at most max: the cause of an incident first, then the one that is due for
// longest. Members of an open incident are not among them. A fault is returned again until Decide has said when to look at it next.
//
// A fault becomes due when it is opened or comes back, when a job of it is done, when the guided task of it is closed, and when the
// incident that it was a member of is over; one that may have its cause in common with others becomes due a little later, so that an
// incident is seen first. One that stood in a log before the agent first looked never does.
func (d *Desk) Due(ctx context.Context, max int) (due []*fleetv1.Fault, err error) {
	now := uint64(d.cfg.Now().UnixNano())
	err = d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		due = nil
		seen := 0
		var bad error
		err := v.Scan(store.TableDueFaults, nil, nil, func(key, _ []byte) bool {
			at, n := store.ParsePair(key)
			if at > now || len(due) == max || seen == dueScan {
				return false
			}
			seen++
			var f *fleetv1.Fault
			if f, bad = toDecide(v, n); f != nil {
				due = append(due, f)
			}
			return bad == nil
		})
		return errors.Join(err, bad)
	})
	return due, err
}

// toDecide reads a fault that is due; nil when it is held after all.
func toDecide(v store.Snapshot, n uint64) (*fleetv1.Fault, error) {
	rec, err := readFault(v, n)
	if err != nil || rec == nil {
		return nil, err
	}
	held, err := isHeld(v, rec)
	if err != nil || held {
		return nil, err
	}
	return rec.GetFault(), nil
}

// Decidable returns all faults that are open and may be decided on now, whether they are due or not: what decisions go by has changed. Members
// of an open incident, what may become one in a moment, and what stood in a log before the agent first looked are not among them.
func (d *Desk) Decidable(ctx context.Context) (all []*fleetv1.Fault, err error) {
	numbers, err := d.numbers(ctx, &filter{req: &fleetv1.ListFaultsRequest{}})
	if err != nil {
		return nil, err
	}
	slices.Reverse(numbers)
	for chunk := range slices.Chunk(numbers, readChunk) {
		var some []*fleetv1.Fault
		err := d.cfg.Store.View(ctx, func(v store.Snapshot) error {
			some, err = d.decidable(v, chunk)
			return err
		})
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

func (d *Desk) decidable(v store.Snapshot, numbers []uint64) (some []*fleetv1.Fault, err error) {
	for _, n := range numbers {
		rec, err := readFault(v, n)
		if err != nil {
			return nil, err
		}
		if rec == nil || !isOpen(rec.GetFault()) || rec.GetHistorical() || d.inGrace(rec) {
			continue
		}
		held, err := isHeld(v, rec)
		if err != nil {
			return nil, err
		}
		if !held {
			some = append(some, inList(rec.GetFault()))
		}
	}
	return some, nil
}

// inGrace says that a fault still waits for others like it. It is due at the end of that.
func (d *Desk) inGrace(rec *storagev1.FaultRecord) bool {
	return rec.GetCommonKind() != "" && rec.GetDue() != nil && rec.GetOpened().AsTime().Add(commonGrace).After(d.cfg.Now())
}

// NextDue returns when the next fault is due, which may have passed; zero when none is.
func (d *Desk) NextDue(ctx context.Context) (at time.Time, err error) {
	err = d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		at = time.Time{}
		return v.Scan(store.TableDueFaults, nil, nil, func(key, _ []byte) bool {
			ns, _ := store.ParsePair(key)
			at = time.Unix(0, int64(ns))
			return false
		})
	})
	return at, err
}

// Update changes a fault: fn is given it as it is stored and may change its state, job_id, guided_task, policy, decision, next_step,
// assignee and, by adding to it, its history; all else stays. The audit record has the actor of the last event that was added ("policy
// start-stopped-services"). It stays due, or not, as it was; one that a person had a task for and has no more is due at once. One that is
// resolved so ends its task. fn may run more than once. NOT_FOUND when there is no such fault.
func (d *Desk) Update(ctx context.Context, id string, fn func(*fleetv1.Fault) error) (*fleetv1.Fault, error) {
	return d.update(ctx, id, func(rec *storagev1.FaultRecord) error {
		wasGuided := rec.GetFault().GetState() == fleetv1.FaultState_FAULT_STATE_GUIDED
		if err := fn(rec.GetFault()); err != nil {
			return err
		}
		if wasGuided && rec.GetFault().GetState() == fleetv1.FaultState_FAULT_STATE_OPEN && rec.GetFault().GetIncident() == "" {
			rec.Due = timestamppb.New(d.cfg.Now())
		}
		return nil
	})
}

// Decide is Update for the policy engine, which also says when it wants to look at the fault again. The zero time means: when something
// happens to it.
func (d *Desk) Decide(ctx context.Context, id string, again time.Time, fn func(*fleetv1.Fault) error) (*fleetv1.Fault, error) {
	return d.update(ctx, id, func(rec *storagev1.FaultRecord) error {
		rec.Due = nil
		if !again.IsZero() {
			rec.Due = timestamppb.New(again)
		}
		return fn(rec.GetFault())
	})
}

func (d *Desk) update(ctx context.Context, id string, fn func(*storagev1.FaultRecord) error) (changed *fleetv1.Fault, err error) {
	var a after
	err = d.cfg.Store.Update(ctx, func(w store.Writer) error {
		a = after{}
		rec, err := mustFault(w, id)
		if err != nil {
			return err
		}
		before := proto.CloneOf(rec)
		if err := fn(rec); err != nil {
			return err
		}
		changed = rec.GetFault()
		keepFixed(before.GetFault(), changed)
		if proto.Equal(before, rec) {
			return nil
		}
		if proto.Equal(before.GetFault(), changed) {
			// Only when it is due is another: that is nothing to be audited.
			return save(w, before, rec)
		}
		if isOpen(before.GetFault()) && !isOpen(changed) && changed.GetGuidedTask() != "" {
			a.resolved = append(a.resolved, changed)
		}
		return d.keep(w, before, rec, "fault.change", actorIn(before.GetFault(), changed), "")
	})
	if err != nil {
		return nil, err
	}
	d.hint.give()
	d.follow(ctx, a)
	return changed, nil
}

// keepFixed puts back what nobody but this package changes.
func keepFixed(before, f *fleetv1.Fault) {
	f.Id, f.Entry, f.Title = before.GetId(), before.GetEntry(), before.GetTitle()
	f.TerminalId, f.TerminalName, f.Site = before.GetTerminalId(), before.GetTerminalName(), before.GetSite()
	f.Subject, f.Incident, f.Reopened, f.Count = before.GetSubject(), before.GetIncident(), before.GetReopened(), before.GetCount()
	f.FirstSeen, f.LastSeen, f.Rule, f.ReportedBy = before.GetFirstSeen(), before.GetLastSeen(), before.GetRule(), before.GetReportedBy()
	for _, e := range f.GetHistory() {
		e.Text = line(e.GetText(), maxNote)
	}
	if extra := len(f.GetHistory()) - keptEvents; extra > 0 {
		f.History = f.GetHistory()[extra:]
	}
}

// actorIn is who has changed a fault: the actor of the last event, when one was added.
func actorIn(before, f *fleetv1.Fault) identity.Name {
	h := f.GetHistory()
	if len(h) == 0 {
		return identity.Name{}
	}
	last := h[len(h)-1]
	if b := before.GetHistory(); len(b) > 0 && proto.Equal(b[len(b)-1], last) {
		return identity.Name{}
	}
	kind, name, ok := strings.Cut(last.GetActor(), " ")
	if ok && identity.Kind(kind) == KindPolicy {
		return identity.Name{Kind: KindPolicy, ID: line(name, maxName)}
	}
	if last.GetActor() == "" || last.GetActor() == "server" {
		return identity.Name{}
	}
	return identity.Name{Kind: identity.KindOperator, ID: line(last.GetActor(), maxName)}
}

// keep writes a change with its audit record, and everything that follows from the fault's new state.
func (d *Desk) keep(w store.Writer, before, rec *storagev1.FaultRecord, verb string, by identity.Name, reason string) error {
	now, f := d.cfg.Now(), rec.GetFault()
	wasOpen, isOpen := isOpen(before.GetFault()), isOpen(f)
	switch {
	case wasOpen && !isOpen:
		if err := d.ended(w, rec, now); err != nil {
			return err
		}
	case !wasOpen && isOpen:
		return refusal.New(refusal.Precondition, "RESOLVED", "fault %q: is resolved", f.GetId()).Then("report it anew if it is there again")
	}
	if err := save(w, before, rec); err != nil {
		return err
	}
	return audit.Append(w, now, audit.Entry{
		Site: f.GetSite(), Actor: by, Verb: verb, Object: "fault/" + f.GetId(), Reason: reason, Changes: differences(before.GetFault(), f),
	})
}

func isOpen(f *fleetv1.Fault) bool { return f.GetState() != fleetv1.FaultState_FAULT_STATE_RESOLVED }

// differences are what an auditor wants to know of a change.
func differences(before, f *fleetv1.Fault) (changes []*storagev1.AuditChange) {
	for _, c := range []struct{ name, old, changed string }{
		{"state", stateWord(before.GetState()), stateWord(f.GetState())},
		{"assignee", before.GetAssignee(), f.GetAssignee()},
		{"job", before.GetJobId(), f.GetJobId()},
		{"guided_task", before.GetGuidedTask(), f.GetGuidedTask()},
		{"policy", before.GetPolicy(), f.GetPolicy()},
		{"decision", before.GetDecision(), f.GetDecision()},
		{"incident", before.GetIncident(), f.GetIncident()},
		{"resolved_by", before.GetResolvedBy(), f.GetResolvedBy()},
	} {
		if c.old != c.changed {
			changes = append(changes, audit.Change(c.name, line(c.old, maxNote), line(c.changed, maxNote)))
		}
	}
	return changes
}

// stateWord is a state as people read it ("open").
func stateWord(s fleetv1.FaultState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "FAULT_STATE_"))
}
