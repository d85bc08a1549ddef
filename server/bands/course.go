package bands

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/guided"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// Entries of the catalogue that reports lead to.
const (
	EntryFault           = "band-fault-code"
	EntryDead            = "band-dead"
	EntryBroken          = "band-broken"
	EntryLost            = "band-lost"
	EntryLockout         = "band-lockout"
	EntryLockoutRepeated = "band-lockout-repeated"
	EntryOldFirmware     = "band-firmware-no-lockout"
	entryVersion         = "band-firmware-version"
	entrySensor          = "band-fingerprint-sensor"
	entryAuth            = "band-auth-failure"
)

const (
	// sameCodeWithin is how soon the same code must come back for the band to be replaced.
	sameCodeWithin = 30 * 24 * time.Hour
	// lockoutsWithin is the time in which lockoutsMany lockouts call for another finger.
	lockoutsWithin = 14 * 24 * time.Hour
	lockoutsMany   = 3
)

// course is one try of an update to carry a report out.
type course struct {
	*account
	w      store.Writer
	before *fleetv1.Band
	// made and ended are the tasks that came of it.
	made, ended []string
}

func snapshot(b *fleetv1.Band) *fleetv1.Band { return proto.CloneOf(b) }

// apply says what becomes of the band.
func (c *course) apply(b *fleetv1.Band) error {
	if err := fits(c.report.GetReport(), b); err != nil {
		return err
	}
	switch c.report.GetReport() {
	case fleetv1.BandReport_BAND_REPORT_FAULT:
		b.Status = fleetv1.BandStatus_BAND_STATUS_FAULT
	case fleetv1.BandReport_BAND_REPORT_DEAD:
		b.Status = fleetv1.BandStatus_BAND_STATUS_DEAD
	case fleetv1.BandReport_BAND_REPORT_BROKEN:
		b.Status = fleetv1.BandStatus_BAND_STATUS_BROKEN
	case fleetv1.BandReport_BAND_REPORT_LOST:
		b.Status, b.WipeBeforeUse, b.Wearer = fleetv1.BandStatus_BAND_STATUS_LOST, true, cmp.Or(c.report.GetWearer(), b.GetWearer())
	case fleetv1.BandReport_BAND_REPORT_FOUND:
		b.Status, b.Wearer = fleetv1.BandStatus_BAND_STATUS_IN_STOCK, ""
	case fleetv1.BandReport_BAND_REPORT_WIPED:
		b.WipeBeforeUse = false
	case fleetv1.BandReport_BAND_REPORT_WORKS:
		b.Status = working(b)
	case fleetv1.BandReport_BAND_REPORT_RETURNED:
		b.Status, b.Wearer, b.StandsInFor = fleetv1.BandStatus_BAND_STATUS_IN_STOCK, "", ""
	case fleetv1.BandReport_BAND_REPORT_TEMPORARY:
		return c.giveOut(b)
	case fleetv1.BandReport_BAND_REPORT_FIRMWARE:
		b.FirmwareVersion, b.FirmwareRead, b.FirmwareReadBy = c.report.GetFirmwareVersion(), timestamppb.New(c.now), c.by.Name.ID
	}
	return nil
}

// working is the status of a band that works: as it was before, as far as can be told.
func working(b *fleetv1.Band) fleetv1.BandStatus {
	switch {
	case b.GetStandsInFor() != "":
		return fleetv1.BandStatus_BAND_STATUS_TEMPORARY
	case b.GetWearer() != "":
		return fleetv1.BandStatus_BAND_STATUS_ASSIGNED
	default:
		return fleetv1.BandStatus_BAND_STATUS_IN_STOCK
	}
}

// giveOut makes a band a temporary one. It is for the wearer of the band that it stands in for, unless another is named.
func (c *course) giveOut(b *fleetv1.Band) error {
	if err := inventory.MayBecome(b, fleetv1.BandStatus_BAND_STATUS_TEMPORARY); err != nil {
		return err
	}
	b.Status, b.Wearer, b.StandsInFor = fleetv1.BandStatus_BAND_STATUS_TEMPORARY, c.report.GetWearer(), c.report.GetStandsInFor()
	return nil
}

// fits refuses a report that cannot be true of a band with this status.
func fits(k fleetv1.BandReport, b *fleetv1.Band) error {
	allowed := map[fleetv1.BandReport][]fleetv1.BandStatus{
		fleetv1.BandReport_BAND_REPORT_FOUND:     {fleetv1.BandStatus_BAND_STATUS_LOST},
		fleetv1.BandReport_BAND_REPORT_TEMPORARY: {fleetv1.BandStatus_BAND_STATUS_IN_STOCK},
		fleetv1.BandReport_BAND_REPORT_RETURNED:  {fleetv1.BandStatus_BAND_STATUS_TEMPORARY, fleetv1.BandStatus_BAND_STATUS_ASSIGNED},
		fleetv1.BandReport_BAND_REPORT_WORKS: {
			fleetv1.BandStatus_BAND_STATUS_FAULT, fleetv1.BandStatus_BAND_STATUS_DEAD, fleetv1.BandStatus_BAND_STATUS_BROKEN,
		},
	}[k]
	lost := b.GetStatus() == fleetv1.BandStatus_BAND_STATUS_LOST && k != fleetv1.BandReport_BAND_REPORT_LOST && k != fleetv1.BandReport_BAND_REPORT_FOUND
	if !lost && (allowed == nil || slices.Contains(allowed, b.GetStatus())) {
		return nil
	}
	if k == fleetv1.BandReport_BAND_REPORT_TEMPORARY {
		if err := inventory.MayBecome(b, fleetv1.BandStatus_BAND_STATUS_TEMPORARY); err != nil {
			return err
		}
	}
	next := "look at it with `fleetctl band show %s`"
	if lost {
		next = "when it is here again, say so first with `fleetctl band found %s`"
	}
	return refusal.New(refusal.Precondition, "DOES_NOT_FIT", "band %q: is %s, so it cannot be reported as %q", b.GetSerial(), statusWord(b.GetStatus()), Word(k)).
		At("report").Then(next, b.GetSerial())
}

// other writes what the report means for the band that this one stands in for, or has stood in for.
func (c *course) other(b *fleetv1.Band) error {
	serial, text := c.report.GetStandsInFor(), "band "+b.GetSerial()+" stands in for it"
	back := c.report.GetReport() == fleetv1.BandReport_BAND_REPORT_RETURNED && c.before.GetStandsInFor() != ""
	if back {
		serial, text = c.before.GetStandsInFor(), "band "+b.GetSerial()+" stands in for it no more"
	}
	if serial == "" {
		return nil
	}
	wearer := ""
	o, err := inventory.EditBand(c.w, c.now, serial, func(o *fleetv1.Band) (*fleetv1.BandEvent, error) {
		if !back && o.GetReplacedBy() != "" {
			return nil, refusal.New(refusal.Precondition, "REPLACED", "band %q: %s stands in for it already", o.GetSerial(), o.GetReplacedBy()).At("stands_in_for").
				Then("take that one back first with `fleetctl band return %s`", o.GetReplacedBy())
		}
		o.ReplacedBy, wearer = b.GetSerial(), o.GetWearer()
		if back {
			o.ReplacedBy = ""
		}
		return &fleetv1.BandEvent{Actor: c.by.Name.String(), Note: text}, nil
	})
	if err != nil {
		return err
	}
	if err := c.passOn(b, o, wearer, back); err != nil || o.GetSite() == b.GetSite() {
		return err
	}
	return audit.Append(c.w, c.now, audit.Entry{
		Site: o.GetSite(), Actor: c.by.Name, Verb: "band.report", Object: "band/" + o.GetSerial(), Reason: text,
	})
}

// passOn gives the band that stands in the wearer and the right spelling of the other.
func (c *course) passOn(b, o *fleetv1.Band, wearer string, back bool) error {
	if back {
		return nil
	}
	b.StandsInFor, b.Wearer = o.GetSerial(), cmp.Or(b.GetWearer(), wearer)
	b.History[len(b.GetHistory())-1].Wearer = b.GetWearer()
	return inventory.PutBand(c.w, b)
}

// follow makes the tasks that the report calls for and closes those that it makes needless.
func (c *course) follow(b *fleetv1.Band) error {
	switch r := c.report; r.GetReport() {
	case fleetv1.BandReport_BAND_REPORT_FAULT:
		return c.task(b, EntryFault, c.faultReason(), map[string]string{"code": r.GetCode()})
	case fleetv1.BandReport_BAND_REPORT_DEAD:
		return c.task(b, EntryDead, "reported dead", nil)
	case fleetv1.BandReport_BAND_REPORT_BROKEN:
		return c.task(b, EntryBroken, "reported broken", nil)
	case fleetv1.BandReport_BAND_REPORT_LOST:
		return c.task(b, EntryLost, "reported lost", nil)
	case fleetv1.BandReport_BAND_REPORT_LOCKOUT:
		return c.lockout(b)
	case fleetv1.BandReport_BAND_REPORT_FIRMWARE:
		return c.firmware(b)
	case fleetv1.BandReport_BAND_REPORT_WORKS:
		return c.end(b, "reported to work", true, EntryFault, EntryDead, EntryBroken, entrySensor, entryAuth)
	}
	return nil
}

func (c *course) task(b *fleetv1.Band, entry, reason string, params map[string]string) error {
	t, fresh, err := c.cfg.Tasks.Open(c.w, guided.Order{
		Entry: entry, Band: b.GetSerial(), Site: b.GetSite(), Reason: reason, By: c.by.Name.ID, Actor: c.by.Name, Params: params,
	})
	if err != nil {
		return err
	}
	if fresh {
		c.made = append(c.made, t.GetId())
	}
	c.answer.GuidedTask = t.GetId()
	return nil
}

func (c *course) end(b *fleetv1.Band, why string, gone bool, entries ...string) error {
	ended, err := c.cfg.Tasks.CloseForBand(c.w, b.GetSerial(), why, gone, entries...)
	c.ended = append(c.ended, ended...)
	return err
}

// faultReason says whether the code has come back, for then a restart does not help.
func (c *course) faultReason() string {
	for _, e := range slices.Backward(c.before.GetHistory()) {
		if e.GetReport() == fleetv1.BandReport_BAND_REPORT_FAULT && e.GetCode() == c.report.GetCode() && c.now.Sub(e.GetTime().AsTime()) <= sameCodeWithin {
			return fmt.Sprintf("shows code %s, which was reported on %s before: replace the band", c.report.GetCode(), e.GetTime().AsTime().UTC().Format(time.DateOnly))
		}
	}
	return "shows code " + c.report.GetCode()
}

// lockout makes the task of the one who waits, and one for another finger when it comes too often.
func (c *course) lockout(b *fleetv1.Band) error {
	n, many := c.report.GetFailures(), 1
	for _, e := range c.before.GetHistory() {
		if e.GetReport() == fleetv1.BandReport_BAND_REPORT_LOCKOUT && c.now.Sub(e.GetTime().AsTime()) <= lockoutsWithin {
			many++
		}
	}
	if many >= lockoutsMany {
		if err := c.task(b, EntryLockoutRepeated, fmt.Sprintf("%d lockouts were reported in 14 days", many), nil); err != nil {
			return err
		}
	}
	if err := c.end(b, "it was locked again", false, EntryLockout); err != nil {
		return err
	}
	reason := fmt.Sprintf("locked for %s after %d failed matches in a row", spanWord(guided.Lockout(n)), n)
	return c.task(b, EntryLockout, reason, map[string]string{"failures": strconv.FormatUint(uint64(n), 10)})
}

func spanWord(d time.Duration) string { return fmt.Sprintf("%d min", int(d.Minutes())) }

// firmware has a band updated that is too old to lock, by the site's own minimum; none means that it is not known.
func (c *course) firmware(b *fleetv1.Band) error {
	if err := c.end(b, "its firmware version was read", true, entryVersion); err != nil {
		return err
	}
	least := c.site.GetSettings().GetMinimumBandFirmware()
	switch {
	case least == "":
		return nil
	case inventory.OlderFirmware(b.GetFirmwareVersion(), least):
		return c.task(b, EntryOldFirmware, fmt.Sprintf("has firmware %s, and %s is the least at this site", b.GetFirmwareVersion(), least), nil)
	default:
		return c.end(b, "its firmware is "+b.GetFirmwareVersion()+" now", true, EntryOldFirmware)
	}
}

func statusWord(s fleetv1.BandStatus) string {
	const prefix = len("BAND_STATUS_")
	name := []byte(s.String()[prefix:])
	for i, ch := range name {
		switch {
		case ch == '_':
			name[i] = '-'
		case ch >= 'A' && ch <= 'Z':
			name[i] = ch + 'a' - 'A'
		}
	}
	return string(name)
}
