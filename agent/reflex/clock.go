package reflex

import "time"

// steadyClock measures periods of attempts. It begins at the machine's clock, or at the latest moment that was journalled when that is later, and
// goes on by elapsed time alone. So a machine whose clock is set back has no more attempts than before: at worst a period lasts longer, by
// the time that passed while the agent did not run. A clock that was set forward while the agent did not run makes a period shorter; only
// who may set a machine's clock can do that, and the server's own limits hold all the same.
type steadyClock struct {
	base  int64
	begun time.Time
}

// newSteadyClock begins at wall, or at the latest moment that is known.
func newSteadyClock(wall time.Time, latest int64) steadyClock {
	return steadyClock{base: max(wall.UnixNano(), latest), begun: time.Now()}
}

// now is in nanoseconds since 1970.
func (c steadyClock) now() int64 { return c.base + int64(time.Since(c.begun)) }
