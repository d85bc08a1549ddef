package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Count is what a fleet has done since it was opened.
type Count struct {
	// Enrolled are those that were not enrolled before; Connected are those with a session right now.
	Enrolled, Connected int
	// Sessions were opened, Cuts are lines that were cut.
	Sessions, Cuts int
	// Accepted, Started, Ended and Acknowledged are tasks. StartedTwice must be 0: it counts attempts of one agent that began a
	// second time.
	Accepted, Started, StartedTwice, Ended, Acknowledged int
	// Stops are services that were stopped; FailedStarts and Flaps are what the script did to them.
	Stops, FailedStarts, Flaps int
	// Statuses are the ended tasks by status.
	Statuses map[actionv1.TaskStatus]int
}

// String is one line for people.
func (c Count) String() string {
	var statuses []string
	for _, s := range slices.Sorted(maps.Keys(c.Statuses)) {
		word := strings.ToLower(strings.TrimPrefix(s.String(), "TASK_STATUS_"))
		statuses = append(statuses, fmt.Sprintf("%s %d", word, c.Statuses[s]))
	}
	return fmt.Sprintf("connected %d (sessions %d, cuts %d), tasks accepted %d, started %d, started twice %d, ended %d (%s), acknowledged %d; "+
		"services stopped %d, starts failed %d, flaps %d",
		c.Connected, c.Sessions, c.Cuts, c.Accepted, c.Started, c.StartedTwice, c.Ended, strings.Join(statuses, ", "), c.Acknowledged,
		c.Stops, c.FailedStarts, c.Flaps)
}

// Counts counts for all agents. Safe for concurrent use.
type Counts struct {
	mu  sync.Mutex
	now Count
}

func newCounts() *Counts { return &Counts{now: Count{Statuses: map[actionv1.TaskStatus]int{}}} }

func (c *Counts) add(change func(*Count)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.now)
}

func (c *Counts) read() Count {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now
	now.Statuses = maps.Clone(c.now.Statuses)
	return now
}
