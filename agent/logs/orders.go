package logs

import (
	"fmt"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue/match"
)

// Bounds of a rule, so that what an agent counts fits into its memory.
const (
	maxCount  = 1000
	maxWindow = 31 * 24 * time.Hour
)

// orders are compiled orders.
type orders struct {
	version string
	set     *match.Set
	entries map[string]bool
}

// compile refuses orders whose rules for logs are not sound.
func compile(o *agentv1.Orders) (*orders, error) {
	known := classes()
	c := &orders{version: o.GetVersion(), entries: map[string]bool{}}
	for _, r := range o.GetLogs() {
		if err := check(r, known); err != nil {
			return nil, fmt.Errorf("log rule %q: %w", r.GetId(), err)
		}
		c.entries[r.GetEntry()] = true
	}
	set, err := match.Compile(o.GetLogs())
	c.set = set
	return c, err
}

func check(r *agentv1.LogRule, known map[string]class) error {
	if _, ok := known[r.GetFileClass()]; !ok {
		return fmt.Errorf("its class of files %q is not known to this agent; leave the rule out, or bring the agent to the server's release", r.GetFileClass())
	}
	switch {
	case r.GetEntry() == "" || r.GetId() == "":
		return fmt.Errorf("it has no entry or no id")
	case r.GetCount() > maxCount:
		return fmt.Errorf("its count is %d, at most %d are allowed", r.GetCount(), maxCount)
	case !within(r.GetWindow().AsDuration()) || !within(r.GetCooldown().AsDuration()):
		return fmt.Errorf("its window or cooldown is not between 0 and %s", maxWindow)
	}
	return nil
}

func within(d time.Duration) bool { return d >= 0 && d <= maxWindow }
