package guided

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// Close ends a task with what the caller says of it. What a running task asks is answered first, and the first answer counts.
func (d *Desk) Close(ctx context.Context, p *access.Principal, r *fleetv1.CloseGuidedTaskRequest) (*fleetv1.GuidedTask, error) {
	if err := checkClose(r); err != nil {
		return nil, err
	}
	rec, err := d.read(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	if rec.GetPlanId() != "" && isOpen(rec.GetTask()) {
		if err := d.answer(ctx, p, rec.GetTask(), r); err != nil {
			return nil, err
		}
	}
	return d.change(ctx, r.GetId(), func(w store.Writer, rec *storagev1.GuidedRecord) (audit.Entry, error) {
		if err := mayClose(rec.GetTask(), p, r); err != nil {
			return audit.Entry{}, err
		}
		return d.close(w, rec, p, r)
	})
}

func checkClose(r *fleetv1.CloseGuidedTaskRequest) error {
	_, known := fleetv1.GuidedOutcome_name[int32(r.GetOutcome())]
	if !known || r.GetOutcome() == fleetv1.GuidedOutcome_GUIDED_OUTCOME_UNSPECIFIED {
		return refusal.New(refusal.Invalid, "NO_OUTCOME", "guided task %q: nothing is said of what came of it", refusal.Shown(r.GetId())).At("outcome").
			Then("say fixed, not-fixed or not-needed")
	}
	if err := checkText("note", r.GetNote(), true); err != nil {
		return err
	}
	if !printable(r.GetNamed(), maxParam) {
		return refusal.New(refusal.Invalid, "BAD_NAME", "named: want one line of at most %d bytes", maxParam).At("named")
	}
	return nil
}

// mayClose says whether the caller may end the task so. errUnchanged: they have.
func mayClose(t *fleetv1.GuidedTask, p *access.Principal, r *fleetv1.CloseGuidedTaskRequest) error {
	fixed := r.GetOutcome() == fleetv1.GuidedOutcome_GUIDED_OUTCOME_FIXED
	switch {
	case !isOpen(t) && t.GetClosedBy() == p.Name.ID && t.GetOutcome() == r.GetOutcome():
		return errUnchanged
	case !isOpen(t):
		return errClosed(t)
	case t.GetOtherPerson() && t.GetCreatedBy() == p.Name.ID:
		return refusal.New(refusal.Denied, "OTHER_PERSON", "guided task %q: %s made it, and another person has to close it", t.GetId(), p.Name.ID).
			Then("have somebody else look at it and close it")
	case fixed && t.GetNameWanted() != "" && strings.TrimSpace(r.GetNamed()) == "":
		return refusal.New(refusal.Invalid, "NAME_MISSING", "guided task %q: wants to know %s", t.GetId(), t.GetNameWanted()).At("named").
			Then("give the name with --named")
	case fixed && len(open(t)) > 0:
		return refusal.New(refusal.Precondition, "STEPS_OPEN", "guided task %q: steps are not done: %s", t.GetId(), strings.Join(open(t), ", ")).
			Then("do them and tick them with `fleetctl guided tick %s STEP`, or close it as not fixed", t.GetId())
	}
	return nil
}

// open lists the numbers of the steps that must be done and are not.
func open(t *fleetv1.GuidedTask) (numbers []string) {
	for _, s := range t.GetSteps() {
		if !s.GetOptional() && s.GetDone() == nil {
			numbers = append(numbers, fmt.Sprint(s.GetNumber()))
		}
	}
	return numbers
}

// close ends a task. With its audit record it writes at most eight keys.
func (d *Desk) close(w store.Writer, rec *storagev1.GuidedRecord, p *access.Principal, r *fleetv1.CloseGuidedTaskRequest) (audit.Entry, error) {
	t := rec.GetTask()
	e := entryOf(p, "guided.close", audit.Change("outcome", "", wordOf(r.GetOutcome())))
	e.Reason = r.GetNote()
	if t.GetNameWanted() != "" && r.GetNamed() != "" {
		t.Named = strings.TrimSpace(r.GetNamed())
		e.Changes = append(e.Changes, audit.Change("named", "", t.GetNamed()))
	}
	d.end(rec, fleetv1.GuidedState_GUIDED_STATE_DONE, r.GetOutcome(), p.Name.ID, r.GetNote())
	if t.GetFaultId() != "" {
		rec.TellFault = timestamppb.New(d.cfg.Now().Add(d.grace(t)))
	}
	return e, d.tellBand(w, t, p.Name.String())
}

// end sets what an ended task says of itself.
func (d *Desk) end(rec *storagev1.GuidedRecord, state fleetv1.GuidedState, outcome fleetv1.GuidedOutcome, by, note string) {
	t, now := rec.GetTask(), timestamppb.New(d.cfg.Now())
	t.State, t.Outcome, t.ClosedBy, t.Closed = state, outcome, by, now
	if note != "" {
		t.Notes = append(t.Notes, &fleetv1.GuidedNote{Time: now, By: by, Text: note})
	}
}

// tellBand puts what came of a task into the history of its band. Nothing is known of NES but what somebody says.
func (d *Desk) tellBand(w store.Writer, t *fleetv1.GuidedTask, by string) error {
	if t.GetBand() == "" || t.GetEntry() == "" || d.cfg.TellBand == nil {
		return nil
	}
	text := fmt.Sprintf("guided task %s (%s): %s", t.GetId(), t.GetEntry(), outcomeWord(t))
	if t.GetNamed() != "" {
		text += "; " + NamedWord(t)
	}
	return d.cfg.TellBand(w, t.GetBand(), by, text)
}

// NamedWord writes what the named person is said to have done.
func NamedWord(t *fleetv1.GuidedTask) string {
	if strings.Contains(t.GetNameWanted(), "deactivated") {
		return t.GetNamed() + " says that it was deactivated in NES"
	}
	return t.GetNamed() + " is named as " + t.GetNameWanted()
}

// graceMargin is added to how long a detector waits before it believes that a fault is gone.
const graceMargin = time.Minute

// grace is how long after its task was closed as fixed a fault is left alone, so that the detector can agree.
func (d *Desk) grace(t *fleetv1.GuidedTask) time.Duration {
	if t.GetOutcome() != fleetv1.GuidedOutcome_GUIDED_OUTCOME_FIXED || !d.canTell(t.GetEntry()) {
		return 0
	}
	longest := time.Duration(0)
	for _, c := range d.cfg.Catalogue().Entry(t.GetEntry()).Detect.State {
		longest = max(longest, c.For)
	}
	return longest + graceMargin
}

// canTell says whether a machine sees by itself that a fault of this entry is gone.
func (d *Desk) canTell(entry string) bool {
	e := d.cfg.Catalogue().Entry(entry)
	return e != nil && (len(e.Detect.State) > 0 || e.Detect.As != "")
}

// FaultResolved closes the task of a fault that is gone: as fixed when somebody was at it, else as one that was not needed any more.
func (d *Desk) FaultResolved(ctx context.Context, faultID, how string) error {
	id := ""
	err := d.cfg.Store.View(ctx, func(v store.Snapshot) (err error) {
		id, err = openFor(v, slotOf(Order{FaultID: faultID}))
		return err
	})
	if err != nil || id == "" {
		return err
	}
	_, err = d.change(ctx, id, func(_ store.Writer, rec *storagev1.GuidedRecord) (audit.Entry, error) {
		if !isOpen(rec.GetTask()) {
			return audit.Entry{}, errUnchanged
		}
		return d.overtaken(rec, "fault "+faultID+" is resolved: "+oneLine(how, maxParam), true), nil
	})
	return err
}

// overtaken ends a task that what happened has made needless. gone says that what it was for is gone: then it counts as fixed when somebody
// was at it.
func (d *Desk) overtaken(rec *storagev1.GuidedRecord, why string, gone bool) audit.Entry {
	state, outcome := fleetv1.GuidedState_GUIDED_STATE_MOOT, fleetv1.GuidedOutcome_GUIDED_OUTCOME_NOT_NEEDED
	if t := rec.GetTask(); gone && begun(t) && t.GetNameWanted() == "" {
		state, outcome = fleetv1.GuidedState_GUIDED_STATE_DONE, fleetv1.GuidedOutcome_GUIDED_OUTCOME_FIXED
	}
	d.end(rec, state, outcome, "server", why)
	return audit.Entry{Verb: "guided.close", Reason: why, Changes: []*storagev1.AuditChange{audit.Change("outcome", "", outcomeWord(rec.GetTask()))}}
}

// begun says that somebody was at it.
func begun(t *fleetv1.GuidedTask) bool {
	for _, s := range t.GetSteps() {
		if s.GetDone() != nil {
			return true
		}
	}
	return t.GetState() == fleetv1.GuidedState_GUIDED_STATE_TAKEN
}

// CloseForBand ends, in the caller's update, the open tasks of these entries for a band: what was reported of it has made them needless.
// It returns their ids, for the caller's audit record. gone is as in overtaken.
func (d *Desk) CloseForBand(w store.Writer, serial, why string, gone bool, entries ...string) (closed []string, err error) {
	for _, entry := range entries {
		id, err := openFor(w, bandSlot(serial, entry))
		if err != nil || id == "" {
			if err != nil {
				return nil, err
			}
			continue
		}
		rec, err := read(w, id)
		if err != nil {
			return nil, err
		}
		before := cloned(rec)
		d.overtaken(rec, why, gone)
		if err := keep(w, before, rec); err != nil {
			return nil, err
		}
		closed = append(closed, id)
	}
	return closed, nil
}

// tell has a fault know what came of its task.
func (d *Desk) tell(ctx context.Context, t *fleetv1.GuidedTask) error {
	if d.cfg.Faults == nil {
		return nil
	}
	_, err := d.cfg.Faults.Update(ctx, t.GetFaultId(), func(f *fleetv1.Fault) error {
		d.judge(f, t)
		return nil
	})
	if no, ok := errors.AsType[*refusal.Error](err); ok && no.Kind == refusal.NotFound {
		return nil
	}
	return err
}

// judge is what a closed task makes of its fault. What a machine can tell is left to it.
func (d *Desk) judge(f *fleetv1.Fault, t *fleetv1.GuidedTask) {
	if f.GetGuidedTask() == t.GetId() {
		f.GuidedTask = ""
	}
	if f.GetState() == fleetv1.FaultState_FAULT_STATE_RESOLVED {
		return
	}
	seen := f.GetReportedBy() == "" && d.canTell(f.GetEntry())
	text := fmt.Sprintf("guided task %s was closed by %s: %s", t.GetId(), t.GetClosedBy(), outcomeWord(t))
	switch {
	case t.GetOutcome() == fleetv1.GuidedOutcome_GUIDED_OUTCOME_FIXED && !seen:
		f.State, f.Resolved = fleetv1.FaultState_FAULT_STATE_RESOLVED, timestamppb.New(d.cfg.Now())
		f.ResolvedBy = fmt.Sprintf("guided task %s, closed by %s", t.GetId(), t.GetClosedBy())
	case t.GetOutcome() == fleetv1.GuidedOutcome_GUIDED_OUTCOME_FIXED:
		text += "; the agent still sees the fault"
		f.State = fleetv1.FaultState_FAULT_STATE_OPEN
	case t.GetOutcome() == fleetv1.GuidedOutcome_GUIDED_OUTCOME_NOT_NEEDED:
		f.State = fleetv1.FaultState_FAULT_STATE_ACKNOWLEDGED
	default:
		f.State = fleetv1.FaultState_FAULT_STATE_OPEN
	}
	f.Decision = text
	f.History = append(f.History, &fleetv1.FaultEvent{Time: timestamppb.New(d.cfg.Now()), Actor: t.GetClosedBy(), Text: text, State: f.GetState()})
}
