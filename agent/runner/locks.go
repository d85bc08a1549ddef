package runner

import (
	"slices"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// everything is the resource that conflicts with all others.
const everything = "host"

// claim names the machine's resources that a run needs for itself, all at once, so that no two runs can each hold what the
// other waits for.
type claim []string

// claimFor returns an action's claim. An action that may change something and names no resource gets the whole machine.
func claimFor(a *actionv1.Action) claim {
	if len(a.GetResources()) == 0 && !a.GetReadOnly() {
		return claim{everything}
	}
	return claim(a.GetResources())
}

// conflict returns the resource of c that other keeps from it.
func (c claim) conflict(other claim) (resource string, ok bool) {
	if slices.Contains(other, everything) || slices.Contains(c, everything) {
		return everything, true
	}
	for _, resource := range c {
		if slices.Contains(other, resource) {
			return resource, true
		}
	}
	return "", false
}

// firstConflict says which of those ahead keeps a claim waiting ("ble, held by job j-17"), empty for none.
func firstConflict(ahead []*entry, c claim) string {
	for _, e := range ahead {
		if resource, ok := c.conflict(e.claim); ok {
			return resource + ", held by " + e.who
		}
	}
	return ""
}
