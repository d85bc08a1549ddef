package runner

import "time"

// serverClock is the server's clock as this machine knows it: the time told at Welcome, carried on by the monotonic clock,
// so that nobody who sets this machine's clock makes a task live longer or shorter.
type serverClock struct {
	told time.Time
	at   time.Time
}

func (c serverClock) known() bool { return !c.told.IsZero() }

// now returns the server's time, or this machine's when the server has not told it yet.
func (c serverClock) now() time.Time {
	if !c.known() {
		return time.Now()
	}
	return c.told.Add(time.Since(c.at))
}
