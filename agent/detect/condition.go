package detect

import "time"

// condition is what counts of a rule for one subject. Time is that of the monotonic clock: nobody who sets the machine's clock makes a fault
// come or go.
type condition struct {
	// counts: it has held for as long as the rule wants, and has not ceased to for as long.
	counts bool
	// turning: what was read differs from what counts, since the time since.
	turning bool
	since   time.Time
	// readings are those by which it counts.
	readings []Reading
}

// see takes in what was read. It says whether what counts has changed, and by when it is to be read again, if it may change soon.
// Undecided changes nothing: a wait that is under way goes on, and only what is read ends it.
func (c *condition) see(t truth, wait time.Duration, now time.Time) (changed bool, again time.Time) {
	if t == undecided {
		return false, time.Time{}
	}
	if (t == holds) == c.counts {
		c.turning = false
		return false, time.Time{}
	}
	if !c.turning {
		c.turning, c.since = true, now
	}
	if due := c.since.Add(wait); now.Before(due) {
		return false, due
	}
	c.counts, c.turning = !c.counts, false
	return true, time.Time{}
}
