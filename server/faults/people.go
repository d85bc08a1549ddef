package faults

import (
	"context"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/store"
)

// Ack notes that somebody knows of a fault. A fault that a job or a person is at stays so.
func (d *Desk) Ack(ctx context.Context, p *access.Principal, r *fleetv1.AckFaultRequest) (*fleetv1.Fault, error) {
	if err := audit.CheckReason("note", r.GetNote()); err != nil {
		return nil, err
	}
	return d.byPerson(ctx, p, r.GetId(), "fault.ack", r.GetNote(), func(f *fleetv1.Fault) (string, error) {
		switch f.GetState() {
		case fleetv1.FaultState_FAULT_STATE_RESOLVED:
			return "", refusal.New(refusal.Precondition, "RESOLVED", "fault %q: is resolved", f.GetId()).Then("report it anew if it is there again")
		case fleetv1.FaultState_FAULT_STATE_OPEN:
			f.State = fleetv1.FaultState_FAULT_STATE_ACKNOWLEDGED
		}
		return "acknowledged" + with(r.GetNote()), nil
	})
}

// Resolve ends a fault in a person's name.
func (d *Desk) Resolve(ctx context.Context, p *access.Principal, r *fleetv1.ResolveFaultRequest) (*fleetv1.Fault, error) {
	if err := audit.CheckReason("reason", r.GetReason()); err != nil {
		return nil, err
	}
	if strings.TrimSpace(r.GetReason()) == "" {
		return nil, refusal.New(refusal.Invalid, "NO_REASON", "fault %q: is resolved without a reason", refusal.Shown(r.GetId())).At("reason").
			Then("say in a few words why it is gone")
	}
	return d.byPerson(ctx, p, r.GetId(), "fault.resolve", r.GetReason(), func(f *fleetv1.Fault) (string, error) {
		if !isOpen(f) {
			return "", nil
		}
		f.State, f.ResolvedBy = fleetv1.FaultState_FAULT_STATE_RESOLVED, p.Name.ID+": "+r.GetReason()
		return "resolved: " + r.GetReason(), nil
	})
}

// Assign gives a fault to a person or a role, or takes it from whoever has it.
func (d *Desk) Assign(ctx context.Context, p *access.Principal, r *fleetv1.AssignFaultRequest) (*fleetv1.Fault, error) {
	if err := audit.CheckReason("note", r.GetNote()); err != nil {
		return nil, err
	}
	if !clean(r.GetAssignee(), maxName) {
		return nil, refusal.New(refusal.Invalid, "BAD_ASSIGNEE", "assignee: want at most %d bytes without control characters", maxName).At("assignee").
			Then("name an operator or a role")
	}
	return d.byPerson(ctx, p, r.GetId(), "fault.assign", r.GetNote(), func(f *fleetv1.Fault) (string, error) {
		if f.GetAssignee() == r.GetAssignee() {
			return "", nil
		}
		f.Assignee = r.GetAssignee()
		if f.GetAssignee() == "" {
			return "given to nobody" + with(r.GetNote()), nil
		}
		return "given to " + f.GetAssignee() + with(r.GetNote()), nil
	})
}

func with(note string) string {
	if note == "" {
		return ""
	}
	return ": " + note
}

// byPerson is a change that a person asks for. do returns what is noted in the history; nothing is written when that is empty.
func (d *Desk) byPerson(ctx context.Context, p *access.Principal, id, verb, reason string, do func(*fleetv1.Fault) (string, error)) (*fleetv1.Fault, error) {
	var f *fleetv1.Fault
	var a after
	err := d.cfg.Store.Update(ctx, func(w store.Writer) error {
		a = after{}
		rec, err := mustFault(w, id)
		if err != nil {
			return err
		}
		before := proto.CloneOf(rec)
		f = rec.GetFault()
		text, err := do(f)
		if err != nil || text == "" {
			return err
		}
		note(f, d.cfg.Now(), p.Name.ID, line(text, maxNote))
		if !isOpen(f) && f.GetGuidedTask() != "" {
			a.resolved = append(a.resolved, f)
		}
		return d.keep(w, before, rec, verb, p.Name, reason)
	})
	if err != nil {
		return nil, err
	}
	d.hint.give()
	d.follow(ctx, a)
	return f, nil
}

// ReportByPerson opens a fault that a person has seen, or counts it again. The same request_id answers with the same fault.
func (d *Desk) ReportByPerson(ctx context.Context, p *access.Principal, r *fleetv1.ReportFaultRequest) (*fleetv1.Fault, error) {
	request, err := requests.New(p.Name.String(), "fault.report", r)
	if err != nil {
		return nil, err
	}
	if err := audit.CheckReason("note", r.GetNote()); err != nil {
		return nil, err
	}
	if !clean(r.GetSubject(), maxSubject) {
		return nil, refusal.New(refusal.Invalid, "BAD_SUBJECT", "subject: want at most %d bytes without control characters", maxSubject).At("subject").
			Then("leave it out, or name which one it is")
	}
	terminal, err := d.cfg.Inventory.Terminal(ctx, r.GetTerminal())
	if err != nil {
		return nil, err
	}
	entry, err := d.entryFor(terminal.GetTerminal(), r.GetEntry())
	if err != nil {
		return nil, err
	}
	place, err := d.place(ctx, terminal.GetTerminal().GetSite())
	if err != nil {
		return nil, err
	}
	return d.reportByPerson(ctx, p, request, &seen{terminal.GetTerminal().GetId(), entry, place, r})
}

// seen is what a person reports.
type seen struct {
	terminalID string
	entry      *catalogue.Entry
	place      *place
	request    *fleetv1.ReportFaultRequest
}

// entryFor finds an entry that such a machine can have. One that stands for another under its name is that other one.
func (d *Desk) entryFor(t *fleetv1.Terminal, id string) (*catalogue.Entry, error) {
	e := d.cfg.Catalogue().Entry(id)
	if e != nil && e.Detect.As != "" {
		e = d.cfg.Catalogue().Entry(e.Detect.As)
	}
	switch {
	case e == nil:
		return nil, refusal.New(refusal.Invalid, "UNKNOWN_ENTRY", "entry %q: is not in the catalogue", refusal.Shown(id)).At("entry").
			Then("find its name with `fleetctl explain`")
	case !fits(e, t.GetRole()):
		return nil, refusal.New(refusal.Invalid, "OTHER_MACHINE", "entry %q: is about something else than terminal %q", e.ID, t.GetName()).At("entry").
			Then("report it for the machine that it is about")
	}
	return e, nil
}

func (d *Desk) reportByPerson(ctx context.Context, p *access.Principal, request *requests.Request, s *seen) (f *fleetv1.Fault, err error) {
	var t *taking
	err = d.cfg.Store.Update(ctx, func(w store.Writer) error {
		f = nil
		id, err := request.Done(w)
		if err != nil {
			return err
		}
		if id != "" {
			rec, err := mustFault(w, id)
			f, t = rec.GetFault(), &taking{}
			return err
		}
		terminal, err := terminalOf(w, s.terminalID)
		if err != nil {
			return err
		}
		t = &taking{Desk: d, w: w, now: d.cfg.Now(), terminal: terminal.GetTerminal(), place: s.place}
		rec, err := t.personSaw(p, s)
		if err != nil {
			return err
		}
		f = rec.GetFault()
		return request.Remember(w, t.now, f.GetId())
	})
	if err != nil {
		return nil, err
	}
	d.hint.give()
	d.follow(ctx, t.after)
	return f, nil
}

// personSaw opens the fault, or counts it again, with one audit record.
func (t *taking) personSaw(p *access.Principal, s *seen) (*storagev1.FaultRecord, error) {
	report := &agentv1.FaultReport{
		Entry: s.entry.ID, Subject: s.request.GetSubject(), Confidence: agentv1.Confidence_CONFIDENCE_GUIDE,
		FirstSeen: timestamppb.New(t.now), LastSeen: timestamppb.New(t.now), Count: 1,
	}
	if s.request.GetNote() != "" {
		report.Evidence = []*agentv1.Evidence{{Name: "note", Value: s.request.GetNote()}}
	}
	t.reporter = p.Name.ID
	if err := t.fault(report); err != nil {
		return nil, err
	}
	rec, err := lastOf(t.w, t.terminal.GetId(), s.entry.ID, report.GetSubject())
	if err != nil {
		return nil, err
	}
	t.others = append(t.others, audit.Entry{
		Actor: p.Name, Verb: "fault.report", Object: "fault/" + rec.GetFault().GetId(), Reason: s.request.GetNote(),
		Changes: []*storagev1.AuditChange{audit.Change("entry", "", s.entry.ID), audit.Change("terminal", "", t.terminal.GetId())},
	})
	t.changes = nil
	return rec, t.record()
}
