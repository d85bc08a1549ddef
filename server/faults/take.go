package faults

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/store"
)

// What ended a fault that nobody has remedied, and the actor of what agents tell.
const (
	byItself   = "by itself"
	agentActor = "agent"
)

// fault takes a report of an agent.
func (t *taking) fault(r *agentv1.FaultReport) error {
	rec, err := lastOf(t.w, t.terminal.GetId(), r.GetEntry(), r.GetSubject())
	if err != nil {
		return err
	}
	open := rec != nil && isOpen(rec.GetFault())
	switch {
	case r.GetGone() && !open:
		return nil
	case r.GetGone():
		return t.gone(rec)
	case open:
		return t.again(rec, r)
	case rec != nil && rec.GetFault().GetResolved().AsTime().Add(sameFault).After(t.now):
		return t.back(rec, r)
	case rec == nil && t.full:
		t.tooMany()
		return nil
	default:
		return t.open(r)
	}
}

// open opens a fault.
func (t *taking) open(r *agentv1.FaultReport) error {
	n, err := count(t.w, store.KeyFaults)
	if err != nil {
		return err
	}
	entry := t.cfg.Catalogue().Entry(r.GetEntry())
	first := t.stamp(r.GetFirstSeen())
	rec := &storagev1.FaultRecord{Historical: r.GetHistorical(), Fault: &fleetv1.Fault{
		Id: idOf(faultPrefix, n), Entry: entry.ID, Title: entry.Title, TerminalId: t.terminal.GetId(), Subject: r.GetSubject(),
		State: fleetv1.FaultState_FAULT_STATE_OPEN, FirstSeen: first, ReportedBy: t.reporter,
	}}
	t.see(rec, r)
	err = t.w.Put(store.TableFaultKeys, store.FaultKey(t.terminal.GetId(), entry.ID, r.GetSubject()), store.Number(n))
	if err != nil {
		return err
	}
	return t.begin(nil, rec, "opened", "seen"+said(rec.GetFault()))
}

// begin lets a fault count from now on: it is open, found with those like it, told of, and due.
func (t *taking) begin(before, rec *storagev1.FaultRecord, event, text string) error {
	f := rec.GetFault()
	rec.Opened, rec.Helped, rec.JobAtEnd = timestamppb.New(t.now), "", ""
	t.setPlace(rec)
	note(f, t.now, t.actor(), text)
	rec.Due = t.dueOf(rec)
	if err := t.join(rec); err != nil {
		return err
	}
	if err := save(t.w, before, rec); err != nil {
		return err
	}
	t.changed(f, "", event+" "+f.GetEntry())
	if f.GetIncident() != "" {
		return nil
	}
	return t.post(t.w, t.notice(f, "fault."+event))
}

// actor is who saw a fault.
func (t *taking) actor() string {
	if t.reporter != "" {
		return t.reporter
	}
	return agentActor
}

// dueOf is when the policy engine decides on a fault that begins.
func (t *taking) dueOf(rec *storagev1.FaultRecord) *timestamppb.Timestamp {
	switch {
	case rec.GetHistorical():
		rec.Fault.Decision = "stood in the log before its agent first looked; nothing is done by itself"
		return nil
	case rec.GetCauseKind() != "":
		// Before everything else.
		return &timestamppb.Timestamp{Nanos: 1}
	case rec.GetCommonKind() != "":
		return timestamppb.New(t.now.Add(commonGrace))
	default:
		return timestamppb.New(t.now)
	}
}

// see takes over what a report says of what is there.
func (t *taking) see(rec *storagev1.FaultRecord, r *agentv1.FaultReport) {
	f := rec.GetFault()
	f.TerminalName, f.Site = t.terminal.GetName(), t.terminal.GetSite()
	f.Count += max(1, r.GetCount())
	if last := t.stamp(r.GetLastSeen()); last.AsTime().After(f.GetLastSeen().AsTime()) {
		f.LastSeen = last
	}
	if f.GetFirstSeen().AsTime().After(f.GetLastSeen().AsTime()) {
		f.FirstSeen = f.GetLastSeen()
	}
	if t.reporter != "" && f.GetConfidence() != 0 {
		// What the agent knows stays; what a person says of it is beside it.
		f.Evidence = append(f.GetEvidence(), r.GetEvidence()...)
		f.Evidence = f.GetEvidence()[max(0, len(f.GetEvidence())-maxEvidence):]
		return
	}
	if len(r.GetEvidence()) > 0 {
		f.Evidence = r.GetEvidence()
	}
	f.Rule, f.Confidence, f.Candidates = r.GetRule(), max(r.GetConfidence(), agentv1.Confidence_CONFIDENCE_GUESS), slices.Clone(r.GetCandidates())
}

// again takes a report of a fault that is open. It has no audit record, for nothing has come of it.
func (t *taking) again(rec *storagev1.FaultRecord, r *agentv1.FaultReport) error {
	before, f := proto.CloneOf(rec), rec.GetFault()
	moved := f.GetSite() != t.terminal.GetSite()
	if moved {
		if err := t.leave(t.w, rec, t.now); err != nil {
			return err
		}
		f.Incident = ""
	}
	t.see(rec, r)
	if moved {
		return t.begin(before, rec, "opened", "its terminal was moved to site "+f.GetSite())
	}
	if rec.GetHistorical() && !r.GetHistorical() {
		// It is there now, too.
		rec.Historical, f.Decision = false, ""
		return t.begin(before, rec, "opened", "seen again"+said(f))
	}
	if t.reporter != "" {
		note(f, t.now, t.reporter, "reported too"+said(&fleetv1.Fault{Evidence: r.GetEvidence()}))
	}
	return save(t.w, before, rec)
}

// back reopens a fault that came back soon after its end. One that was seen before a person said that it is gone has not.
func (t *taking) back(rec *storagev1.FaultRecord, r *agentv1.FaultReport) error {
	before, f := proto.CloneOf(rec), rec.GetFault()
	if r.GetHistorical() || t.stamp(r.GetLastSeen()).AsTime().Before(f.GetResolved().AsTime()) {
		t.see(rec, r)
		return save(t.w, before, rec)
	}
	rec.Historical = false
	f.State, f.Resolved, f.ResolvedBy = fleetv1.FaultState_FAULT_STATE_OPEN, nil, ""
	f.Reopened++
	f.Incident, f.GuidedTask, f.NextStep, f.Policy, f.Decision = "", "", 0, "", ""
	t.see(rec, r)
	return t.begin(before, rec, "reopened", "came back"+said(f))
}

// gone ends a fault with what remedied it.
func (t *taking) gone(rec *storagev1.FaultRecord) error {
	before, f := proto.CloneOf(rec), rec.GetFault()
	how, err := fixedBy(t.w, rec)
	if err != nil {
		return err
	}
	f.State, f.ResolvedBy = fleetv1.FaultState_FAULT_STATE_RESOLVED, how
	if err := t.ended(t.w, rec, t.now); err != nil {
		return err
	}
	note(f, t.now, agentActor, "gone: "+how)
	if f.GetGuidedTask() != "" {
		t.after.resolved = append(t.after.resolved, f)
	}
	t.changed(f, stateWord(before.GetFault().GetState()), "resolved: "+how)
	return save(t.w, before, rec)
}

// fixedBy is what remedied a fault: the job that is at it, when its task has succeeded, or what has helped since it was opened.
func fixedBy(r store.Reader, rec *storagev1.FaultRecord) (string, error) {
	if job := rec.GetFault().GetJobId(); job != "" {
		done, err := hasHelped(r, job)
		if err != nil || done {
			return "job " + job, err
		}
	}
	if rec.GetHelped() != "" {
		return rec.GetHelped(), nil
	}
	return byItself, nil
}

// hasHelped reports whether a remedy's one task has ended well.
func hasHelped(r store.Reader, job string) (bool, error) {
	task, err := read[storagev1.TaskRecord](r, store.TableTasks, store.TaskKey(job, 0))
	return task.GetTask().GetStatus() == actionv1.TaskStatus_TASK_STATUS_SUCCEEDED, err
}

// ended does what the end of a fault brings with it: its incident has one member less, and people are told. The caller saves it.
func (d *Desk) ended(w store.Writer, rec *storagev1.FaultRecord, now time.Time) error {
	f := rec.GetFault()
	f.Resolved, rec.JobAtEnd, f.JobId = timestamppb.New(now), f.GetJobId(), ""
	if err := d.leave(w, rec, now); err != nil {
		return err
	}
	if f.GetIncident() != "" {
		return nil
	}
	return d.post(w, noticeOf(f, "fault.resolved", now, f.GetTitle()+": gone ("+f.GetResolvedBy()+")"))
}

// changed adds to the audit record.
func (t *taking) changed(f *fleetv1.Fault, old, is string) {
	t.changes = append(t.changes, audit.Change("fault/"+f.GetId(), old, line(is, maxNote)))
}

// said is what the evidence says first, for the history.
func said(f *fleetv1.Fault) string {
	if len(f.GetEvidence()) == 0 {
		return ""
	}
	e := f.GetEvidence()[0]
	return line(fmt.Sprintf(": %s %s", e.GetName(), e.GetValue()), maxName)
}

func (t *taking) notice(f *fleetv1.Fault, event string) *fleetv1.Notice {
	return noticeOf(f, event, t.now, f.GetTitle())
}

// noticeOf is a fault as people are told of it.
func noticeOf(f *fleetv1.Fault, event string, now time.Time, summary string) *fleetv1.Notice {
	n := &fleetv1.Notice{
		Event: event, Site: f.GetSite(), Time: timestamppb.New(now), Summary: line(f.GetTerminalName()+": "+summary, maxNote), Object: f.GetId(),
		TerminalName: f.GetTerminalName(), Entry: f.GetEntry(),
	}
	if f.GetSubject() != "" {
		n.Details = append(n.Details, "subject: "+line(f.GetSubject(), maxSubject))
	}
	for _, e := range f.GetEvidence() {
		n.Details = append(n.Details, line(e.GetName()+": "+e.GetValue(), maxNote))
	}
	return n
}
