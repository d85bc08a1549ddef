package jobs

import (
	"cmp"
	"slices"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// checkLimit checks a selection's limit, which may be unset.
func checkLimit(limit *fleetv1.Amount) error {
	bad := func(format string, args ...any) error {
		return refusal.New(refusal.Invalid, "BAD_LIMIT", format, args...).At("selection.limit").
			Then("give a number from 1 on, or a share from 1 to 100 percent")
	}
	if limit == nil {
		return nil
	}
	switch a := limit.GetAmount().(type) {
	case *fleetv1.Amount_Count:
		if a.Count == 0 {
			return bad("limit: is 0 terminals, want at least 1")
		}
	case *fleetv1.Amount_Percent:
		if a.Percent == 0 || a.Percent > 100 {
			return bad("limit: is %d percent, want 1 to 100", a.Percent)
		}
	default:
		return bad("limit: is neither a number nor a share that this server knows")
	}
	return nil
}

// limited keeps as many of the terminals as a checked limit says, spread evenly over their order by site and id. The same
// terminals are kept each time, so that a job means what its preview showed.
func limited(found []*storagev1.TerminalRecord, limit *fleetv1.Amount) []*storagev1.TerminalRecord {
	kept := len(found)
	switch a := limit.GetAmount().(type) {
	case *fleetv1.Amount_Count:
		kept = int(min(uint64(a.Count), uint64(len(found))))
	case *fleetv1.Amount_Percent:
		kept = (len(found)*int(a.Percent) + 99) / 100
	}
	if kept == len(found) {
		return found
	}
	slices.SortFunc(found, func(a, b *storagev1.TerminalRecord) int {
		return cmp.Or(cmp.Compare(a.GetTerminal().GetSite(), b.GetTerminal().GetSite()),
			compareIDs(a.GetTerminal().GetId(), b.GetTerminal().GetId()))
	})
	some := make([]*storagev1.TerminalRecord, kept)
	for i := range some {
		some[i] = found[i*len(found)/kept]
	}
	return some
}
