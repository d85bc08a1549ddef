package runner

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

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

// ClockOffset is how far this machine's clock is ahead of the server's; false while the server has not told its time.
func (r *Runner) ClockOffset() (offset time.Duration, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.clock.known() {
		return 0, false
	}
	return time.Now().Round(0).Sub(r.clock.now().Round(0)), true
}

// clockOffset is the name of what MachineState says of the clock.
const clockOffset = "clock_offset"

// addClock adds what only the runner knows of a machine: how far its clock is from the server's.
func (r *Runner) addClock(s *actionv1.MachineState) {
	r.mu.Lock()
	clock := r.clock
	r.mu.Unlock()
	s.Unknown = slices.DeleteFunc(s.GetUnknown(), func(field string) bool { return field == clockOffset })
	if !clock.known() {
		s.Unknown = append(s.GetUnknown(), clockOffset)
		return
	}
	// A simulated machine says by how much its own clock is off besides.
	s.ClockOffset = durationpb.New(s.GetClockOffset().AsDuration() + time.Now().Round(0).Sub(clock.now().Round(0)))
}
