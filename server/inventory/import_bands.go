package inventory

import (
	"cmp"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/store"
)

// bandImport adds bands and changes those that are there. An empty cell leaves what is there.
type bandImport struct{ *Inventory }

func (bandImport) word() string                      { return "bands" }
func (bandImport) rowsAtOnce() int                   { return 40 }
func (bandImport) mayImport(*access.Principal) error { return nil }
func (bandImport) keyColumn() string                 { return "serial" }

func (bandImport) columnProblem(column string) string {
	switch column {
	case "serial", "site", "status", "firmware_version", "wearer", "note":
		return ""
	}
	return "is not known; bands have serial, site, status, firmware_version, wearer and note"
}

func (bandImport) look(l *lookup, cells map[string]string) (s seen, err error) {
	if !bandSerial.MatchString(cells["serial"]) {
		s.problem("serial", cells["serial"], "is no valid serial; write it as printed on the band, such as AAAH-00125")
		return s, nil
	}
	s.object = access.Fold(cells["serial"])
	if _, ok := bandStatusNamed(cells["status"]); !ok {
		s.problem("status", cells["status"], "is no status; there are in-stock, assigned, temporary, fault, dead, broken, lost, suspended and retired")
	}
	s.text("firmware_version", cells["firmware_version"], maxVersion)
	s.text("wearer", cells["wearer"], maxWearer)
	s.text("note", cells["note"], maxNote)
	old, err := readBand(l.r, cells["serial"], nil)
	switch {
	case isMissing(err):
		return s, s.newBand(l, cells)
	case err == nil:
		s.oldBand(l, cells, old)
	}
	return s, err
}

func (s *seen) newBand(l *lookup, cells map[string]string) error {
	s.site, s.outcome = access.Fold(cells["site"]), created
	if s.site == "" {
		s.problem("site", "", "is missing, and the band is new")
		return nil
	}
	problem, err := l.site(cells["site"])
	if problem != "" {
		s.problem("site", cells["site"], "%s", problem)
	}
	return err
}

func (s *seen) oldBand(l *lookup, cells map[string]string, old *fleetv1.Band) {
	s.site, s.outcome = old.GetSite(), changed
	switch wanted := cells["site"]; {
	case !l.p.May(access.Read, old.GetSite()):
		s.problem("serial", cells["serial"], "exists already")
	case !l.p.May(access.Admin, old.GetSite()):
		s.problem("serial", cells["serial"], "is at site %q, which you may not administer", old.GetSite())
	case wanted != "" && access.Fold(wanted) != old.GetSite():
		s.problem("site", wanted, "the band is at site %q, and an import moves none", old.GetSite())
	case MayBecome(old, bandAfter(old, cells).GetStatus()) != nil:
		s.problem("status", cells["status"], "the band was lost; report it found and wiped first, with `fleetctl band found` and `fleetctl band wiped`")
	case bandText(bandAfter(old, cells)) == bandText(old):
		s.outcome = unchanged
	}
}

func mayBecome(old *fleetv1.Band, status fleetv1.BandStatus) bool {
	return MayBecome(old, status) == nil
}

// carryOut writes two keys.
func (i bandImport) carryOut(w store.Writer, o order, row *storagev1.ImportedRow) (outcome, *storagev1.AuditChange, error) {
	old, err := readBand(w, row.GetObject(), nil)
	missing := isMissing(err)
	if err != nil && !missing {
		return moot, nil, err
	}
	became := changed
	if missing {
		became = created
		old = &fleetv1.Band{Serial: row.GetCells()["serial"], Site: o.site}
	}
	b := bandAfter(old, row.GetCells())
	switch {
	case b.GetSite() != o.site || !mayBecome(old, b.GetStatus()):
		return moot, nil, nil
	case bandText(b) == bandText(old):
		return unchanged, nil, nil
	}
	i.note(b, o.by, cmp.Or(row.GetCells()["note"], o.reason))
	if err := write(w, store.TableBands, store.Key(row.GetObject()), b); err != nil {
		return moot, nil, err
	}
	change := audit.Change("band/"+b.GetSerial(), bandText(old), bandText(b))
	return became, change, w.Put(store.TableBandSites, store.Key(b.GetSite(), row.GetObject()), nil)
}

// bandAfter is what a row makes of a band. A new one that has no status is in stock.
func bandAfter(old *fleetv1.Band, cells map[string]string) *fleetv1.Band {
	b := proto.CloneOf(old)
	status, _ := bandStatusNamed(cells["status"])
	setStatus(b, cmp.Or(status, old.GetStatus(), fleetv1.BandStatus_BAND_STATUS_IN_STOCK))
	b.FirmwareVersion = cmp.Or(cells["firmware_version"], old.GetFirmwareVersion())
	b.Wearer = cmp.Or(cells["wearer"], old.GetWearer())
	return b
}

// bandText writes what an import can change; empty for a band that is still to be added.
func bandText(b *fleetv1.Band) string {
	if b.GetStatus() == fleetv1.BandStatus_BAND_STATUS_UNSPECIFIED {
		return ""
	}
	return fmt.Sprintf("%s firmware_version=%q wearer=%q", b.GetStatus(), b.GetFirmwareVersion(), b.GetWearer())
}

// bandStatusNamed reads a status as people write it ("in-stock"); empty text is no status, which is allowed.
func bandStatusNamed(text string) (s fleetv1.BandStatus, ok bool) {
	if text == "" {
		return s, true
	}
	const prefix = "BAND_STATUS_"
	n := fleetv1.BandStatus_value[prefix+strings.ToUpper(strings.ReplaceAll(text, "-", "_"))]
	return fleetv1.BandStatus(n), n != 0
}
