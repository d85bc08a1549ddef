// Package admission decides whose TLS handshake the server works on next. When a whole fleet comes back at once, as many
// handshakes are worked on as the processors can take, the rest wait a short while, address by address in turn, and what is
// beyond that is closed at once, which costs next to nothing. Package server puts it around the credentials of its port and
// tells agents by its rate how long to spread their return.
package admission

import (
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Bounds of what is under way.
const (
	// workingPerCPU is how many handshakes are worked on at once for each processor: one more than it can, for when one waits.
	workingPerCPU = 2
	// defaultPending is how many handshakes may be under way, waiting ones included: about a second's worth, at 20 KB each.
	defaultPending = 1024
)

// errBusy closes a connection for which there is no room.
var errBusy = errors.New("too many connections are shaking hands")

// Config is what a gate is made of.
type Config struct {
	// Working is how many handshakes are worked on at once; 0 means two for each processor.
	Working int
	// Pending is how many may be under way; 0 means 1024.
	Pending int
	Log     *slog.Logger
}

// Gate lets handshakes be worked on. A handshake that waits for its peer holds no place, so slow peers hold nobody up.
type Gate struct {
	log  *slog.Logger
	most int

	mu sync.Mutex
	// free is how many places nobody holds; while it is not 0 nobody waits.
	free    int
	pending int
	// sources are the addresses with a handshake under way.
	sources map[netip.Addr]*source
	// begun wait to go on with a handshake that was worked on before. They go first: what was done for them is not wasted.
	begun []*attempt
	// turns are the addresses from which somebody waits to begin, the next one at the head.
	turns  []*source
	pace   pace
	warned time.Time
}

// source is an address with its handshakes.
type source struct {
	addr netip.Addr
	// underway are all of them, in order of arrival; waiting are those that wait to begin.
	underway, waiting []*attempt
}

// attempt is one handshake.
type attempt struct {
	gate *Gate
	from *source
	conn io.Closer
	// turn gets nil when the attempt has a place, errBusy when it is turned away while it waits.
	turn chan error

	// Guarded by the gate.
	begun, holds, waits, evicted bool
}

// NewGate makes a gate.
func NewGate(c Config) *Gate {
	if c.Working <= 0 {
		c.Working = workingPerCPU * runtime.GOMAXPROCS(0)
	}
	if c.Pending <= 0 {
		c.Pending = defaultPending
	}
	return &Gate{log: c.Log, most: c.Pending, free: c.Working, sources: make(map[netip.Addr]*source)}
}

// admit takes a handshake in. When there is no room, the newest of the address that has the most makes room, unless the
// newcomer's address has as many: so no address can crowd out the others.
func (g *Gate) admit(addr netip.Addr, conn io.Closer) (*attempt, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	from := g.sources[addr]
	if g.pending >= g.most {
		g.warn()
		crowd := g.largest()
		if from != nil && len(from.underway) >= len(crowd.underway) || len(crowd.underway) == 1 {
			return nil, errBusy
		}
		g.evict(crowd.underway[len(crowd.underway)-1])
	}
	if from == nil {
		from = &source{addr: addr}
		g.sources[addr] = from
	}
	a := &attempt{gate: g, from: from, conn: conn, turn: make(chan error, 1)}
	from.underway = append(from.underway, a)
	g.pending++
	return a, nil
}

func (g *Gate) largest() *source {
	var most *source
	for _, s := range g.sources {
		if most == nil || len(s.underway) > len(most.underway) {
			most = s
		}
	}
	return most
}

// evict turns an attempt away. Whatever it does next fails.
func (g *Gate) evict(a *attempt) {
	a.evicted = true
	if a.waits {
		a.waits = false
		g.begun = without(g.begun, a)
		a.from.waiting = without(a.from.waiting, a)
		if len(a.from.waiting) == 0 {
			g.turns = without(g.turns, a.from)
		}
		a.turn <- errBusy
	}
	g.remove(a)
	// It only wakes the attempt's own goroutine, which is told why.
	_ = a.conn.Close()
}

// remove forgets an attempt.
func (g *Gate) remove(a *attempt) {
	a.from.underway = without(a.from.underway, a)
	if len(a.from.underway) == 0 {
		delete(g.sources, a.from.addr)
	}
	g.pending--
}

// warn says once a minute that connections are turned away.
func (g *Gate) warn() {
	if now := time.Now(); now.Sub(g.warned) >= time.Minute {
		g.warned = now
		g.log.Warn("connections are turned away: too many are shaking hands; agents come back by themselves", "most", g.most)
	}
}

// enter waits for a place.
func (a *attempt) enter() error {
	g := a.gate
	g.mu.Lock()
	switch {
	case a.evicted:
		g.mu.Unlock()
		return errBusy
	case g.free > 0:
		if g.free--; g.free == 0 {
			g.pace.fill(time.Now())
		}
		a.take()
		g.mu.Unlock()
		return nil
	}
	g.queue(a)
	g.mu.Unlock()
	return <-a.turn
}

func (g *Gate) queue(a *attempt) {
	a.waits = true
	if a.begun {
		g.begun = append(g.begun, a)
		return
	}
	a.from.waiting = append(a.from.waiting, a)
	if len(a.from.waiting) == 1 {
		g.turns = append(g.turns, a.from)
	}
}

func (a *attempt) take() {
	a.begun, a.holds, a.waits = true, true, false
}

// leave gives the place to the next, if a has one.
func (a *attempt) leave() {
	g := a.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if !a.holds {
		return
	}
	a.holds = false
	next := g.next()
	if next == nil {
		if g.free == 0 {
			g.pace.drain(time.Now())
		}
		g.free++
		return
	}
	next.take()
	next.turn <- nil
}

// next takes whose turn it is out of the queues; nil when nobody waits.
func (g *Gate) next() *attempt {
	if len(g.begun) > 0 {
		a := g.begun[0]
		g.begun = slices.Delete(g.begun, 0, 1)
		return a
	}
	if len(g.turns) == 0 {
		return nil
	}
	s := g.turns[0]
	g.turns = slices.Delete(g.turns, 0, 1)
	a := s.waiting[0]
	s.waiting = slices.Delete(s.waiting, 0, 1)
	if len(s.waiting) > 0 {
		g.turns = append(g.turns, s)
	}
	return a
}

// end forgets the attempt, with its place if it has one. Good ones tell the rate.
func (a *attempt) end(good bool) {
	g := a.gate
	g.mu.Lock()
	if good {
		g.pace.end(time.Now())
	}
	if !a.evicted {
		g.remove(a)
	}
	g.mu.Unlock()
	a.leave()
}

func without[T comparable](list []T, gone T) []T {
	if i := slices.Index(list, gone); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}
