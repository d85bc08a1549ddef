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

// A sample of the rate is taken over so many handshakes and so much time. Less would mistake a moment for the whole.
const (
	sampleCount = 64
	sampleTime  = 250 * time.Millisecond
)

// pace measures how many handshakes a second come to their end while every place is taken: what the machine can do with
// everything else that it does meanwhile. What handshakes cost one by one says nothing of that when others want the processors too.
type pace struct {
	// full is since when every place is taken, zero when one is free.
	full time.Time
	// busy and ended are the time with every place taken, and the handshakes that ended in it, of the sample being taken.
	busy  time.Duration
	ended int
	// perSecond is the mean of samples, later ones counting more; 0 when there is none.
	perSecond float64
}

// fill notes that every place is taken, and drain that one is free again.
func (p *pace) fill(now time.Time) { p.full = now }

func (p *pace) drain(now time.Time) {
	p.tally(now)
	p.full = time.Time{}
}

// end notes the end of a good handshake.
func (p *pace) end(now time.Time) {
	if p.full.IsZero() {
		return
	}
	p.ended++
	p.tally(now)
}

// tally adds the time since every place was taken, and ends the sample when it is long enough.
func (p *pace) tally(now time.Time) {
	if p.full.IsZero() {
		return
	}
	p.busy += now.Sub(p.full)
	p.full = now
	if p.ended < sampleCount || p.busy < sampleTime {
		return
	}
	sample := float64(p.ended) / p.busy.Seconds()
	if p.perSecond == 0 {
		p.perSecond = sample
	}
	p.perSecond += (sample - p.perSecond) / 4
	p.ended, p.busy = 0, 0
}

// rate is how many agents a second can come back. A fifth is left for what else the server has to do then.
func (p *pace) rate(cpus int) int {
	if p.perSecond == 0 {
		return ratePerCPU * cpus
	}
	return int(min(max(p.perSecond*4/5, leastRate), mostRate))
}

// Rate is how many agents a second can come back, as measured the last times that many did.
func (g *Gate) Rate() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pace.rate(runtime.GOMAXPROCS(0))
}

// Spread is how long so many agents take to come back at the gate's rate: what they are told to choose their moment from.
func (g *Gate) Spread(agents int) time.Duration {
	spread := time.Duration(agents) * time.Second / time.Duration(g.Rate())
	return min(max(spread, time.Second), longestReturn)
}
