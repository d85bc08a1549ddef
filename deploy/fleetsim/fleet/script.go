package fleet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Script is how the simulated machines behave. The zero Script is a fleet of fast, healthy machines on good lines.
type Script struct {
	// Latency is how long a service takes to stop and to start.
	Latency Latency
	// Fail is the share of starts that fail, 0 to 1.
	Fail float64
	// Flap is the share of starts after which the service dies again within two seconds, 0 to 1.
	Flap float64
	// Cut is how often the line of an agent is cut, per minute of connection.
	Cut float64
}

func (s Script) check() error {
	for name, share := range map[string]float64{"fail": s.Fail, "flap": s.Flap} {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("%s: %v is no share, want 0 to 1", name, share)
		}
	}
	if !(s.Cut >= 0 && s.Cut <= 600) {
		return fmt.Errorf("cut: %v times a minute, want 0 to 600", s.Cut)
	}
	return s.Latency.check()
}

// Latency is a time between two bounds, short ones more often than long ones (evenly on a logarithmic scale).
type Latency struct {
	Least, Most time.Duration
}

// ParseLatency reads "50ms", or "10ms-2s".
func ParseLatency(text string) (Latency, error) {
	first, second, isRange := strings.Cut(text, "-")
	least, err := time.ParseDuration(first)
	l := Latency{least, least}
	if err == nil && isRange {
		l.Most, err = time.ParseDuration(second)
	}
	if err != nil {
		return Latency{}, fmt.Errorf("latency %q: want a duration or two, as in 50ms or 10ms-2s", text)
	}
	return l, l.check()
}

func (l Latency) check() error {
	if l.Least < 0 || l.Most < l.Least || l.Most > time.Minute {
		return fmt.Errorf("latency %s-%s: want the smaller first, and 1m at most", l.Least, l.Most)
	}
	return nil
}

// chance decides for one agent. The same seed and number decide alike, as far as what is asked comes in the same order.
type chance struct {
	mu  sync.Mutex
	rnd *rand.Rand
}

func newChance(seed uint64, agent int) *chance {
	return &chance{rnd: rand.New(rand.NewPCG(seed, uint64(agent)))}
}

func (c *chance) draw() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rnd.Float64()
}

// happens is true in the given share of cases.
func (c *chance) happens(share float64) bool { return c.draw() < share }

// within is an even time up to most.
func (c *chance) within(most time.Duration) time.Duration {
	return time.Duration(c.draw() * float64(most))
}

func (c *chance) latency(l Latency) time.Duration {
	if l.Least == l.Most {
		return l.Least
	}
	least := max(float64(l.Least), float64(time.Microsecond))
	return time.Duration(least * math.Pow(float64(l.Most)/least, c.draw()))
}

// until is how long it takes for something to happen that happens so often a minute.
func (c *chance) until(perMinute float64) time.Duration {
	return time.Duration(-math.Log(1-c.draw()) * float64(time.Minute) / perMinute)
}
