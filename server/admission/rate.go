package admission

import (
	"runtime"
	"time"
)

// What is taken for the rate, in handshakes a second, while it is not known, and at least and at most. Beyond the most it is
// not the handshakes that take the time.
const (
	ratePerCPU = 250
	leastRate  = 50
	mostRate   = 2000
)

// longestReturn bounds what agents are told: one that lost its line alone must not stay away for long.
const longestReturn = 5 * time.Minute

// cost is the time that a handshake takes of a place, as an average that forgets.
type cost struct {
	mean  time.Duration
	known int
}

// remembered is over how many handshakes the mean is taken.
const remembered = 64

func (c *cost) add(d time.Duration) {
	c.known = min(c.known+1, remembered)
	c.mean += (d - c.mean) / time.Duration(c.known)
}

// rate is how many handshakes a second the processors can take when the other half of their time goes into opening the
// sessions.
func (c *cost) rate(cpus int) int {
	if c.known < remembered || c.mean <= 0 {
		return ratePerCPU * cpus
	}
	return int(min(max(float64(cpus)/2/c.mean.Seconds(), leastRate), mostRate))
}

// Rate is how many agents a second can come back, as measured on those that came last.
func (g *Gate) Rate() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cost.rate(runtime.GOMAXPROCS(0))
}

// Spread is how long so many agents take to come back at the gate's rate: what they are told to choose their moment from.
func (g *Gate) Spread(agents int) time.Duration {
	spread := time.Duration(agents) * time.Second / time.Duration(g.Rate())
	return min(max(spread, time.Second), longestReturn)
}
