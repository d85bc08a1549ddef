// Package bands records what people say of bands, and has the catalogue's guided tasks made for it. The records are the inventory's; this
// package says which report fits which status, what becomes of the band, and which task follows. Nothing here is done in NES, and
// nothing here says that it was: what stands in a history is what somebody reported.
package bands

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/guided"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/store"
)

// Inventory is what is asked of the inventory.
type Inventory interface {
	Band(ctx context.Context, serial string) (*fleetv1.Band, error)
	Site(ctx context.Context, name string) (*fleetv1.Site, error)
}

// Tasks are the guided tasks.
type Tasks interface {
	Open(w store.Writer, o guided.Order) (t *fleetv1.GuidedTask, fresh bool, err error)
	CloseForBand(w store.Writer, serial, why string, gone bool, entries ...string) (closed []string, err error)
	OfBand(ctx context.Context, serial string) ([]string, error)
}

// Config is what a register stands on.
type Config struct {
	Store     store.Store
	Inventory Inventory
	Tasks     Tasks
	Now       func() time.Time
}

// Register is the package's one object. Safe for concurrent use.
type Register struct{ cfg Config }

// New makes a register.
func New(c Config) *Register { return &Register{cfg: c} }

// Band returns a band with the ids of its open tasks.
func (g *Register) Band(ctx context.Context, serial string) (*fleetv1.Band, error) {
	b, err := g.cfg.Inventory.Band(ctx, serial)
	if err != nil {
		return nil, err
	}
	b.GuidedTasks, err = g.cfg.Tasks.OfBand(ctx, b.GetSerial())
	return b, err
}

// Report records what somebody says of a band, and makes the task that the catalogue has for it: band, other band, tasks and audit record
// are one write. The same request_id is recorded once.
func (g *Register) Report(ctx context.Context, p *access.Principal, r *fleetv1.ReportBandRequest) (*fleetv1.ReportBandResponse, error) {
	if err := check(r); err != nil {
		return nil, err
	}
	request, err := requests.New(p.Name.String(), "band.report", r)
	if err != nil {
		return nil, err
	}
	a, err := g.prepare(ctx, p, r)
	if err != nil {
		return nil, err
	}
	err = g.cfg.Store.Update(ctx, func(w store.Writer) error {
		done, err := request.Done(w)
		if err != nil || done != "" {
			a.answer.GuidedTask = taskIn(done)
			return err
		}
		if err := a.carryOut(w); err != nil {
			return err
		}
		return request.Remember(w, a.now, mark+a.answer.GetGuidedTask())
	})
	if err != nil {
		return nil, err
	}
	a.answer.Band, err = g.Band(ctx, r.GetSerial())
	return a.answer, err
}

// mark stands before the id of the task in what a request is remembered by, which must not be empty.
const mark = "reported:"

func taskIn(object string) string {
	if len(object) < len(mark) {
		return ""
	}
	return object[len(mark):]
}

// account is one report while it is carried out.
type account struct {
	*Register
	by     *access.Principal
	report *fleetv1.ReportBandRequest
	site   *fleetv1.Site
	now    time.Time
	answer *fleetv1.ReportBandResponse
}

// prepare reads what the report needs to know, and checks the rights on what it names besides the band itself.
func (g *Register) prepare(ctx context.Context, p *access.Principal, r *fleetv1.ReportBandRequest) (*account, error) {
	b, err := g.cfg.Inventory.Band(ctx, r.GetSerial())
	if err != nil {
		return nil, err
	}
	a := &account{Register: g, by: p, report: r, now: g.cfg.Now(), answer: &fleetv1.ReportBandResponse{}}
	if a.site, err = g.cfg.Inventory.Site(ctx, b.GetSite()); err != nil {
		return nil, err
	}
	if wait := guided.Lockout(r.GetFailures()); r.GetReport() == fleetv1.BandReport_BAND_REPORT_LOCKOUT {
		a.answer.LockedUntil = timestamppb.New(a.now.Add(wait))
	}
	return a, g.mayTouch(ctx, p, r.GetStandsInFor())
}

// mayTouch wants the right to act on the other band.
func (g *Register) mayTouch(ctx context.Context, p *access.Principal, serial string) error {
	if serial == "" {
		return nil
	}
	object := access.Object{Kind: access.Band, Name: serial, Field: "stands_in_for"}
	b, err := g.cfg.Inventory.Band(ctx, serial)
	if err != nil {
		return access.NotFound(object.Kind, serial).At(object.Field)
	}
	return access.CheckSites(p, access.Act, access.Every, object, []string{b.GetSite()})
}

// carryOut writes it all: two bands, two tasks made or three closed, and at most two audit records, some thirty keys at most.
func (a *account) carryOut(w store.Writer) error {
	c := &course{account: a, w: w}
	b, err := inventory.EditBand(w, a.now, a.report.GetSerial(), func(b *fleetv1.Band) (*fleetv1.BandEvent, error) {
		c.before = snapshot(b)
		if err := c.apply(b); err != nil {
			return nil, err
		}
		return a.event(), nil
	})
	if err != nil {
		return err
	}
	if err := errors.Join(c.other(b), c.follow(b)); err != nil {
		return err
	}
	return audit.Append(w, a.now, c.record(b))
}

// event is what the history says of the report.
func (a *account) event() *fleetv1.BandEvent {
	r := a.report
	return &fleetv1.BandEvent{Actor: a.by.Name.String(), Report: r.GetReport(), Code: r.GetCode(), Failures: r.GetFailures(), Note: r.GetNote()}
}

// record is the audit record of a report. The wearer stands in it as in that of every change of a band, and nowhere else.
func (c *course) record(b *fleetv1.Band) audit.Entry {
	r, was := c.report, c.before
	e := audit.Entry{Site: b.GetSite(), Actor: c.by.Name, Verb: "band.report", Object: "band/" + b.GetSerial(), Reason: r.GetNote()}
	e.Changes = []*storagev1.AuditChange{audit.Change("report", "", Word(r.GetReport()))}
	add := func(name, old, now string) {
		if old != now {
			e.Changes = append(e.Changes, audit.Change(name, old, now))
		}
	}
	add("status", was.GetStatus().String(), b.GetStatus().String())
	add("wearer", was.GetWearer(), b.GetWearer())
	add("firmware_version", was.GetFirmwareVersion(), b.GetFirmwareVersion())
	add("stands_in_for", was.GetStandsInFor(), b.GetStandsInFor())
	add("wipe_before_use", yesNo(was.GetWipeBeforeUse()), yesNo(b.GetWipeBeforeUse()))
	add("code", "", r.GetCode())
	for _, id := range c.made {
		add("guided_task", "", id)
	}
	for _, id := range slices.Sorted(slices.Values(c.ended)) {
		add("guided_task", id, "closed")
	}
	return e
}
