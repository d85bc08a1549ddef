package bands

import (
	"regexp"
	"strings"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/guided"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// faultCode is what a band can show as a code.
var faultCode = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._:#/-]{0,31}$`)

// maxWearer bounds the reference to a person, in bytes.
const maxWearer = 128

// check refuses a report that lacks what it needs or brings what it does not take.
func check(r *fleetv1.ReportBandRequest) error {
	_, known := fleetv1.BandReport_name[int32(r.GetReport())]
	if !known || r.GetReport() == fleetv1.BandReport_BAND_REPORT_UNSPECIFIED {
		return refusal.New(refusal.Invalid, "NO_REPORT", "band %q: nothing is said of it", refusal.Shown(r.GetSerial())).At("report")
	}
	if err := audit.CheckReason("note", r.GetNote()); err != nil {
		return err
	}
	for _, f := range fieldsOf(r) {
		taken := strings.Contains(f.takenBy, " "+Word(r.GetReport())+" ")
		switch {
		case f.value && !taken:
			return refusal.New(refusal.Invalid, "NOT_OF_REPORT", "band %q: %s: does not belong to the report %q", r.GetSerial(), f.name, Word(r.GetReport())).At(f.name)
		case f.value && !f.valid:
			return refusal.New(refusal.Invalid, "BAD_VALUE", "band %q: %s: is not valid", refusal.Shown(r.GetSerial()), f.name).At(f.name).Then("give %s", f.want)
		}
	}
	return missing(r)
}

// field is a part of a report that belongs to some kinds of it.
type field struct {
	name string
	// value says that it was given, valid that it can be right.
	value, valid bool
	// takenBy lists the reports that take it.
	takenBy, want string
}

func fieldsOf(r *fleetv1.ReportBandRequest) []field {
	printable := audit.CheckReason("wearer", r.GetWearer()) == nil
	return []field{
		{"code", r.GetCode() != "", faultCode.MatchString(r.GetCode()), " fault ", "the code as the band shows it"},
		{"failures", r.GetFailures() != 0, r.GetFailures() >= guided.LockoutFrom && r.GetFailures() <= guided.MostFailures, " lockout ",
			"how many failed matches there were in a row, 5 or more: fewer do not lock a band"},
		{"wearer", r.GetWearer() != "", printable && len(r.GetWearer()) <= maxWearer, " temporary lost ", "your reference to the person on one line of at most 128 bytes"},
		{"stands_in_for", r.GetStandsInFor() != "", !strings.EqualFold(r.GetStandsInFor(), r.GetSerial()), " temporary ", "the serial of another band"},
		{"firmware_version", r.GetFirmwareVersion() != "", inventory.ValidFirmware(r.GetFirmwareVersion()), " firmware ", "the version as the band shows it, such as 4.1.0"},
	}
}

// missing refuses a report without what makes it one.
func missing(r *fleetv1.ReportBandRequest) error {
	none := func(field, next string) error {
		return refusal.New(refusal.Invalid, "MISSING", "band %q: %s: is missing", refusal.Shown(r.GetSerial()), field).At(field).Then("%s", next)
	}
	switch k := r.GetReport(); {
	case k == fleetv1.BandReport_BAND_REPORT_FAULT && r.GetCode() == "":
		return none("code", "give the code that the band shows")
	case k == fleetv1.BandReport_BAND_REPORT_LOCKOUT && r.GetFailures() == 0:
		return none("failures", "say how many failed matches there were in a row")
	case k == fleetv1.BandReport_BAND_REPORT_FIRMWARE && r.GetFirmwareVersion() == "":
		return none("firmware_version", "give the version that the band shows")
	case k == fleetv1.BandReport_BAND_REPORT_TEMPORARY && r.GetWearer() == "" && r.GetStandsInFor() == "":
		return none("wearer", "say who wears it, or which band it stands in for")
	}
	return nil
}

// Word writes a report as people type it ("lost").
func Word(k fleetv1.BandReport) string {
	return access.Fold(strings.ReplaceAll(strings.TrimPrefix(k.String(), "BAND_REPORT_"), "_", "-"))
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
