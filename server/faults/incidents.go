package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	// leastMembers and memberPercent say how many terminals make an incident.
	leastMembers  = 3
	memberPercent = 5
	// incidentWindow is within what time they must have come.
	incidentWindow = 10 * time.Minute
	// commonGrace is how long a fault that may be of an incident waits before the policy engine decides on it alone.
	commonGrace = 20 * time.Second
	// mostLone bounds the faults that wait to become an incident; it is more than a twentieth of any site.
	mostLone = 1000
	// takenAtOnce keeps an update that takes faults into an incident below the store's limit: four keys each.
	takenAtOnce = 20
)

// setPlace works out what a fault has in common with those of other terminals, and what it is the cause of.
func (t *taking) setPlace(rec *storagev1.FaultRecord) {
	f := rec.GetFault()
	rec.CommonKind, rec.CommonSubject, rec.CauseKind, rec.CauseSubjects = "", "", "", nil
	if rec.GetHistorical() {
		return
	}
	for _, kind := range t.causeOf(f.GetEntry()) {
		if subjects := t.place.things(t.terminal, kind); len(subjects) > 0 {
			rec.CauseKind, rec.CauseSubjects = kind, subjects
			return
		}
	}
	if c := t.cfg.Catalogue().Entry(f.GetEntry()).Common; c != nil {
		if subject := t.inCommon(t.place, t.terminal, c.Kind, f.GetSubject()); subject != "" {
			rec.CommonKind, rec.CommonSubject = c.Kind, line(subject, maxSubject)
		}
	}
}

// causeOf are the kinds of incidents that an entry may be the cause of.
func (d *Desk) causeOf(entry string) (kinds []string) {
	for _, e := range d.cfg.Catalogue().Entries() {
		if e.Common != nil && slices.Contains(e.Common.Cause, entry) && !slices.Contains(kinds, e.Common.Kind) {
			kinds = append(kinds, e.Common.Kind)
		}
	}
	return kinds
}

func commonKeyOf(rec *storagev1.FaultRecord) []byte {
	return store.CommonKey(access.Fold(rec.GetFault().GetSite()), rec.GetCommonKind(), rec.GetCommonSubject())
}

// common reads what faults have in common, which may be new.
func common(r store.Reader, site, kind, subject string) (key []byte, c *storagev1.CommonRecord, err error) {
	key = store.CommonKey(access.Fold(site), kind, subject)
	if c, err = read[storagev1.CommonRecord](r, store.TableCommons, key); c == nil {
		c = &storagev1.CommonRecord{Site: site, Kind: kind, Subject: subject}
	}
	return key, c, err
}

// keepCommon writes it, or removes it when nothing is left of it.
func keepCommon(w store.Writer, key []byte, c *storagev1.CommonRecord) error {
	if len(c.GetLone()) == 0 && c.GetIncident() == 0 && c.GetCause() == 0 {
		return w.Delete(store.TableCommons, key)
	}
	return put(w, store.TableCommons, key, c)
}

// join brings a fault that begins together with those like it: it becomes a member of the incident that is open, or makes one with the
// others, or waits alone. The caller saves it.
func (t *taking) join(rec *storagev1.FaultRecord) error {
	if rec.GetCauseKind() != "" {
		return t.joinAsCause(rec)
	}
	if rec.GetCommonKind() == "" {
		return nil
	}
	f := rec.GetFault()
	key, c, err := common(t.w, f.GetSite(), rec.GetCommonKind(), rec.GetCommonSubject())
	if err != nil {
		return err
	}
	if c.GetIncident() == 0 {
		c.Lone = append(c.GetLone(), &storagev1.LoneFault{Fault: numberOf(faultPrefix, f.GetId()), TerminalId: f.GetTerminalId(), Opened: timestamppb.New(t.now)})
		c.Lone = c.GetLone()[max(0, len(c.GetLone())-mostLone):]
		if recent(c, t.now) < t.place.needed(c.GetKind(), c.GetSubject()) {
			return keepCommon(t.w, key, c)
		}
		if err := t.openIncident(c); err != nil {
			return err
		}
		c.Lone = c.GetLone()[:len(c.GetLone())-1]
		t.after.incidents = append(t.after.incidents, key)
	}
	if err := addMember(t.w, c, rec, t.now); err != nil {
		return err
	}
	return keepCommon(t.w, key, c)
}

// recent counts the terminals that have come within the window.
func recent(c *storagev1.CommonRecord, now time.Time) int {
	terminals := map[string]bool{}
	for _, l := range c.GetLone() {
		if l.GetOpened().AsTime().After(now.Add(-incidentWindow)) {
			terminals[l.GetTerminalId()] = true
		}
	}
	return len(terminals)
}

func (t *taking) openIncident(c *storagev1.CommonRecord) error {
	n, err := count(t.w, store.KeyIncidents)
	if err != nil {
		return err
	}
	c.Incident = n
	inc := &fleetv1.Incident{
		Id: idOf(incidentPrefix, n), Site: c.GetSite(), Kind: c.GetKind(), Subject: c.GetSubject(), Title: titleOf(c), Opened: timestamppb.New(t.now),
	}
	if c.GetCause() != 0 {
		inc.CauseFault = idOf(faultPrefix, c.GetCause())
	}
	t.others = append(t.others, audit.Entry{Verb: "incident.open", Object: "incident/" + inc.GetId(), Changes: []*storagev1.AuditChange{
		audit.Change("kind", "", inc.GetKind()), audit.Change("subject", "", inc.GetSubject()), audit.Change("terminals", "", fmt.Sprint(recent(c, t.now))),
	}})
	if err := t.post(t.w, incidentNotice(inc, "incident.opened", t.now)); err != nil {
		return err
	}
	return put(t.w, store.TableIncidents, store.Number(n), &storagev1.IncidentRecord{Incident: inc, Changed: timestamppb.New(t.now)})
}

func titleOf(c *storagev1.CommonRecord) string {
	what := map[string]string{kindNESHost: "NES host", kindNymiAgent: "central Nymi Agent", kindCertificate: "certificate"}[c.GetKind()]
	return line(fmt.Sprintf("many terminals have trouble with the %s %s", what, c.GetSubject()), maxNote)
}

func incidentNotice(inc *fleetv1.Incident, event string, now time.Time) *fleetv1.Notice {
	n := &fleetv1.Notice{Event: event, Site: inc.GetSite(), Time: timestamppb.New(now), Summary: inc.GetTitle(), Object: inc.GetId()}
	if event == "incident.resolved" {
		n.Summary = "over: " + n.GetSummary()
	}
	if inc.GetCauseFault() != "" {
		n.Details = []string{"cause: fault " + inc.GetCauseFault()}
	}
	return n
}

// addMember makes a fault a member of the open incident: its remedies are held. The caller saves the fault.
func addMember(w store.Writer, c *storagev1.CommonRecord, rec *storagev1.FaultRecord, now time.Time) error {
	inc, err := read[storagev1.IncidentRecord](w, store.TableIncidents, store.Number(c.GetIncident()))
	if err == nil && inc == nil {
		err = fmt.Errorf("incident %q: is not in the store", idOf(incidentPrefix, c.GetIncident()))
	}
	if err != nil {
		return err
	}
	f := rec.GetFault()
	key := store.PairKey(c.GetIncident(), numberOf(faultPrefix, f.GetId()))
	known, err := has(w, store.TableIncidentMembers, key)
	if err != nil {
		return err
	}
	if !known {
		inc.Incident.Members++
		if err := w.Put(store.TableIncidentMembers, key, nil); err != nil {
			return err
		}
	}
	inc.Incident.OpenMembers++
	inc.Changed = timestamppb.New(now)
	f.Incident, f.Decision, rec.Due = inc.GetIncident().GetId(), "held: a member of incident "+inc.GetIncident().GetId(), nil
	note(f, now, "server", "member of incident "+f.GetIncident()+": "+inc.GetIncident().GetTitle())
	return put(w, store.TableIncidents, store.Number(c.GetIncident()), inc)
}

// joinAsCause notes a fault at the thing itself with all that it may be the cause of.
func (t *taking) joinAsCause(rec *storagev1.FaultRecord) error {
	f := rec.GetFault()
	for _, subject := range rec.GetCauseSubjects() {
		key, c, err := common(t.w, f.GetSite(), rec.GetCauseKind(), subject)
		if err != nil {
			return err
		}
		c.Cause = numberOf(faultPrefix, f.GetId())
		if err := keepCommon(t.w, key, c); err != nil {
			return err
		}
		if c.GetIncident() == 0 {
			continue
		}
		inc, err := read[storagev1.IncidentRecord](t.w, store.TableIncidents, store.Number(c.GetIncident()))
		if err != nil || inc == nil {
			return err
		}
		inc.Incident.CauseFault = f.GetId()
		note(f, t.now, "server", "cause of incident "+inc.GetIncident().GetId())
		if err := put(t.w, store.TableIncidents, store.Number(c.GetIncident()), inc); err != nil {
			return err
		}
	}
	return nil
}

// takeIn takes the lone faults into the incident that has been opened, some at a time. Until then isHeld knows them.
func (d *Desk) takeIn(ctx context.Context, key []byte) error {
	for {
		more := false
		err := d.cfg.Store.Update(ctx, func(w store.Writer) error {
			more = false
			c, err := read[storagev1.CommonRecord](w, store.TableCommons, key)
			if err != nil || c.GetIncident() == 0 || len(c.GetLone()) == 0 {
				return err
			}
			now, some := d.cfg.Now(), c.GetLone()[:min(takenAtOnce, len(c.GetLone()))]
			for _, l := range some {
				if err := takeOne(w, c, l.GetFault(), now); err != nil {
					return err
				}
			}
			c.Lone = c.GetLone()[len(some):]
			more = len(c.GetLone()) > 0
			return keepCommon(w, key, c)
		})
		if err != nil || !more {
			d.hint.give()
			return err
		}
	}
}

func takeOne(w store.Writer, c *storagev1.CommonRecord, n uint64, now time.Time) error {
	rec, err := readFault(w, n)
	if err != nil || rec == nil || !isOpen(rec.GetFault()) {
		return err
	}
	before := proto.CloneOf(rec)
	if err := addMember(w, c, rec, now); err != nil {
		return err
	}
	return save(w, before, rec)
}

// isHeld reports whether a fault is of an incident that is open, also when it was not taken in yet.
func isHeld(r store.Reader, rec *storagev1.FaultRecord) (bool, error) {
	if rec.GetCommonKind() == "" {
		return false, nil
	}
	c, err := read[storagev1.CommonRecord](r, store.TableCommons, commonKeyOf(rec))
	return c.GetIncident() != 0, err
}

// leave takes a fault that has ended out of what it was part of.
func (d *Desk) leave(w store.Writer, rec *storagev1.FaultRecord, now time.Time) error {
	n := numberOf(faultPrefix, rec.GetFault().GetId())
	for _, subject := range rec.GetCauseSubjects() {
		key, c, err := common(w, rec.GetFault().GetSite(), rec.GetCauseKind(), subject)
		if err != nil {
			return err
		}
		if c.GetCause() == n {
			c.Cause = 0
			if err := keepCommon(w, key, c); err != nil {
				return err
			}
		}
	}
	if rec.GetCommonKind() == "" {
		return nil
	}
	key, c, err := common(w, rec.GetFault().GetSite(), rec.GetCommonKind(), rec.GetCommonSubject())
	if err != nil {
		return err
	}
	c.Lone = slices.DeleteFunc(c.GetLone(), func(l *storagev1.LoneFault) bool { return l.GetFault() == n })
	if c.GetIncident() != 0 && strings.EqualFold(rec.GetFault().GetIncident(), idOf(incidentPrefix, c.GetIncident())) {
		if err := d.memberGone(w, c, now); err != nil {
			return err
		}
	}
	return keepCommon(w, key, c)
}

// memberGone counts one member less; without any the incident is over.
func (d *Desk) memberGone(w store.Writer, c *storagev1.CommonRecord, now time.Time) error {
	inc, err := read[storagev1.IncidentRecord](w, store.TableIncidents, store.Number(c.GetIncident()))
	if err != nil || inc == nil {
		return err
	}
	inc.Changed = timestamppb.New(now)
	if inc.Incident.OpenMembers > 0 {
		inc.Incident.OpenMembers--
	}
	if inc.GetIncident().GetOpenMembers() == 0 && len(c.GetLone()) == 0 {
		return d.endIncident(w, c, inc, now)
	}
	return put(w, store.TableIncidents, store.Number(c.GetIncident()), inc)
}

// endIncident writes the end of an incident, with its audit record. The caller writes c.
func (d *Desk) endIncident(w store.Writer, c *storagev1.CommonRecord, inc *storagev1.IncidentRecord, now time.Time) error {
	n := c.GetIncident()
	c.Incident, inc.Incident.Resolved = 0, timestamppb.New(now)
	if err := put(w, store.TableIncidents, store.Number(n), inc); err != nil {
		return err
	}
	if err := d.post(w, incidentNotice(inc.GetIncident(), "incident.resolved", now)); err != nil {
		return err
	}
	return audit.Append(w, now, audit.Entry{Site: c.GetSite(), Verb: "incident.resolve", Object: "incident/" + inc.GetIncident().GetId(), Changes: []*storagev1.AuditChange{
		audit.Change("members", "", fmt.Sprint(inc.GetIncident().GetMembers())), audit.Change("open members", "", fmt.Sprint(inc.GetIncident().GetOpenMembers())),
	}})
}
