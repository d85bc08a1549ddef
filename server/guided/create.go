package guided

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/store"
)

// Create makes a task, or returns the one that is open for the same: one for each fault, and one of each entry for a band, a terminal or a
// site.
func (d *Desk) Create(ctx context.Context, o Order) (id string, err error) {
	if err := d.locate(ctx, &o); err != nil {
		return "", err
	}
	err = d.cfg.Store.Update(ctx, func(w store.Writer) error {
		t, fresh, err := d.Open(w, o)
		if err != nil || !fresh {
			id = t.GetId()
			return err
		}
		id = t.GetId()
		return audit.Append(w, d.cfg.Now(), created(o, t))
	})
	if err != nil {
		return "", err
	}
	d.poke()
	return id, nil
}

// locate finds the site, and the terminal's name.
func (d *Desk) locate(ctx context.Context, o *Order) error {
	switch {
	case o.TerminalID != "":
		rec, err := d.cfg.Inventory.Terminal(ctx, o.TerminalID)
		if err != nil {
			return err
		}
		o.TerminalID, o.terminalName = rec.GetTerminal().GetId(), rec.GetTerminal().GetName()
		o.Site = rec.GetTerminal().GetSite()
	case o.Band != "":
		b, err := d.cfg.Inventory.Band(ctx, o.Band)
		if err != nil {
			return err
		}
		o.Band, o.Site = b.GetSerial(), b.GetSite()
	case o.Site != "":
		s, err := d.cfg.Inventory.Site(ctx, o.Site)
		if err != nil {
			return err
		}
		o.Site = s.GetName()
	default:
		return refusal.New(refusal.Invalid, "NOTHING_NAMED", "guided task: is about nothing").
			At("terminal").Then("name a terminal, a band or a site")
	}
	return nil
}

// Open makes a task in the caller's update, which sees to the audit record. It writes at most five keys and a notice. Site must be set;
// fresh is false when the task was there before.
func (d *Desk) Open(w store.Writer, o Order) (t *fleetv1.GuidedTask, fresh bool, err error) {
	id, err := openFor(w, slotOf(o))
	if err != nil {
		return nil, false, err
	}
	if id != "" {
		rec, err := read(w, id)
		return rec.GetTask(), false, err
	}
	rec, err := d.make(o)
	if err != nil {
		return nil, false, err
	}
	if rec.Task.Id, err = nextID(w); err != nil {
		return nil, false, err
	}
	t = rec.GetTask()
	return t, true, errors.Join(keep(w, nil, rec), d.post(w, eventCreated, t, summary(t)))
}

// slotOf says what a task is for: while one is open for it no other is made.
func slotOf(o Order) string {
	const any = "-"
	switch {
	case o.question != nil:
		return string(store.Key("question", o.JobID+"/"+o.TerminalID, any))
	case o.FaultID != "":
		return string(store.Key("fault", o.FaultID, any))
	case o.Band != "":
		return bandSlot(o.Band, o.Entry)
	case o.TerminalID != "":
		return string(store.Key("terminal", o.TerminalID, o.Entry))
	default:
		return string(store.Key("site", o.Site, o.Entry))
	}
}

func bandSlot(serial, entry string) string {
	return string(store.Key("band", access.Fold(serial), entry))
}

// make builds the record of a new task, which has no id yet.
func (d *Desk) make(o Order) (*storagev1.GuidedRecord, error) {
	now := d.cfg.Now()
	t := &fleetv1.GuidedTask{
		Site: o.Site, TerminalId: o.TerminalID, TerminalName: o.terminalName, Band: o.Band, FaultId: o.FaultID, JobId: o.JobID,
		Reason: oneLine(o.Reason, maxText), State: fleetv1.GuidedState_GUIDED_STATE_OPEN, Created: timestamppb.New(now),
		CreatedBy: cmp.Or(o.By, o.Actor.ID, "server"), Assignee: o.Assignee,
	}
	for _, line := range o.Evidence[:min(len(o.Evidence), maxEvidence)] {
		t.Evidence = append(t.Evidence, oneLine(line, maxText))
	}
	rec := &storagev1.GuidedRecord{Task: t, Slot: slotOf(o), Params: o.Params}
	if o.question != nil {
		d.fillOfQuestion(rec, o)
		return rec, nil
	}
	return rec, d.fillOfEntry(rec, o, now)
}

func created(o Order, t *fleetv1.GuidedTask) audit.Entry {
	return audit.Entry{
		Site: t.GetSite(), Actor: o.Actor, Verb: "guided.create", Object: "guided/" + t.GetId(), Reason: t.GetReason(),
		Changes: []*storagev1.AuditChange{
			audit.Change("entry", "", t.GetEntry()), audit.Change("about", "", about(t)), audit.Change("assignee", "", t.GetAssignee()),
			audit.Change("by", "", t.GetCreatedBy()),
		},
	}
}

// CreateFor makes a task that a person asks for. The same request_id answers with the same task.
func (d *Desk) CreateFor(ctx context.Context, p *access.Principal, r *fleetv1.CreateGuidedTaskRequest) (t *fleetv1.GuidedTask, err error) {
	if err := checkCreate(r); err != nil {
		return nil, err
	}
	request, err := requests.New(p.Name.String(), "guided.create", r)
	if err != nil {
		return nil, err
	}
	o := Order{
		Entry: r.GetEntry(), TerminalID: r.GetTerminal(), Band: r.GetBand(), Site: r.GetSite(), Reason: r.GetNote(), Assignee: r.GetAssignee(),
		Params: r.GetParams(), By: p.Name.ID, Actor: p.Name,
	}
	if err := d.locateFor(ctx, p, &o); err != nil {
		return nil, err
	}
	err = d.cfg.Store.Update(ctx, func(w store.Writer) error {
		t, err = d.createOnce(w, request, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	d.poke()
	return t, nil
}

func (d *Desk) createOnce(w store.Writer, request *requests.Request, o Order) (*fleetv1.GuidedTask, error) {
	done, err := request.Done(w)
	if err != nil {
		return nil, err
	}
	if done != "" {
		rec, err := read(w, done)
		return rec.GetTask(), err
	}
	t, fresh, err := d.Open(w, o)
	if err != nil || !fresh {
		return t, err
	}
	return t, errors.Join(request.Remember(w, d.cfg.Now(), t.GetId()), audit.Append(w, d.cfg.Now(), created(o, t)))
}

// locateFor finds what a person names, and checks that they may act there.
func (d *Desk) locateFor(ctx context.Context, p *access.Principal, o *Order) error {
	object := access.Object{Kind: access.Site, Name: o.Site, Field: "site"}
	switch {
	case o.TerminalID != "":
		object = access.Object{Kind: access.Terminal, Name: o.TerminalID, Field: "terminal"}
	case o.Band != "":
		object = access.Object{Kind: access.Band, Name: o.Band, Field: "band"}
	}
	if err := d.locate(ctx, o); err != nil {
		if no, ok := errors.AsType[*refusal.Error](err); ok && no.Kind == refusal.NotFound {
			return access.NotFound(object.Kind, object.Name).At(object.Field)
		}
		return err
	}
	return access.CheckSites(p, access.Act, access.Every, object, []string{o.Site})
}

func checkCreate(r *fleetv1.CreateGuidedTaskRequest) error {
	named := 0
	for _, name := range []string{r.GetTerminal(), r.GetBand(), r.GetSite()} {
		if name != "" {
			named++
		}
	}
	if named != 1 {
		return refusal.New(refusal.Invalid, "NOTHING_NAMED", "guided task: names %d of terminal, band and site", named).At("terminal").
			Then("name one of the three")
	}
	if err := audit.CheckReason("note", r.GetNote()); err != nil {
		return err
	}
	if err := checkName("assignee", r.GetAssignee(), true); err != nil {
		return err
	}
	return checkParams(r.GetParams())
}

// errNoEntry refuses an entry that the catalogue in force has not.
func errNoEntry(id string) error {
	return refusal.New(refusal.Invalid, "NO_ENTRY", "entry %q: is not in the catalogue", refusal.Shown(id)).At("entry").
		Then("look for it with `fleetctl explain`")
}

// errNoSteps refuses an entry that leaves nothing to a person.
func errNoSteps(id string) error {
	return refusal.New(refusal.Invalid, "NO_STEPS", "entry %q: has no steps for a person", id).At("entry").
		Then("look at it with `%s`", fmt.Sprintf("fleetctl explain %s", id))
}
