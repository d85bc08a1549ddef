package inventory

import (
	"fmt"
	"maps"
	"slices"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
)

func checkLabels(req *fleetv1.LabelTerminalRequest) error {
	if len(req.GetSet()) == 0 && len(req.GetRemove()) == 0 {
		return refusal.New(refusal.Invalid, "NOTHING_TO_DO", "terminal %q: no label to set or to remove", clipped(req.GetTerminal())).At("set")
	}
	for _, key := range slices.Sorted(maps.Keys(req.GetSet())) {
		if err := checkLabel(key, req.GetSet()[key], fmt.Sprintf("set[%s]", clipped(key))); err != nil {
			return err
		}
	}
	for n, key := range req.GetRemove() {
		if err := checkLabel(key, "", fmt.Sprintf("remove[%d]", n)); err != nil {
			return err
		}
		if _, both := req.GetSet()[key]; both {
			return refusal.New(refusal.Invalid, "BAD_LABEL", "label %q: is to be set and to be removed", key).At(fmt.Sprintf("remove[%d]", n))
		}
	}
	return wantText("reason", req.GetReason(), "reason", maxReason)
}

func checkLabel(key, value, field string) error {
	err := wantName("label", labelKey, key, field, "lower case letters, digits, dots, dashes and underscores, at most 63")
	if err != nil {
		return err
	}
	return wantText(fmt.Sprintf("label %q", key), value, field, maxLabelValue)
}

func labelChanges(before, after map[string]string) (out []*storagev1.AuditChange) {
	keys := slices.Sorted(maps.Keys(before))
	for key := range after {
		if _, old := before[key]; !old {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		old, was := before[key]
		changed, is := after[key]
		if old != changed || was != is {
			out = append(out, audit.Change("label "+key, old, changed))
		}
	}
	return out
}
