package rollout

import (
	"fmt"
	"strings"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// String is a resolved rollout in one line, for the record.
func String(r *fleetv1.Rollout) string {
	var waves, parts []string
	for _, w := range r.GetWaves() {
		waves = append(waves, Words(w))
	}
	add := func(name string, a *fleetv1.Amount) {
		if a != nil {
			parts = append(parts, name+" "+Words(a))
		}
	}
	parts = append(parts, "waves "+strings.Join(waves, ","))
	add("max-concurrent", r.GetMaxConcurrent())
	add("max-concurrent-per-site", r.GetMaxConcurrentPerSite())
	if f := r.GetFloor(); f != nil {
		parts = append(parts, fmt.Sprintf("floor %s=%d", f.GetLabel(), f.GetWorking()))
	}
	add("max-errors", r.GetMaxErrors())
	if n := r.GetMaxConsecutive(); n > 0 {
		parts = append(parts, fmt.Sprintf("max-consecutive %d", n))
	}
	if d := r.GetSoak().AsDuration(); d > 0 {
		parts = append(parts, fmt.Sprintf("soak %s", d))
	}
	parts = append(parts, "on-limit "+strings.ToLower(strings.TrimPrefix(r.GetOnLimit().String(), "LIMIT_ACTION_")))
	return strings.Join(parts, ", ")
}
