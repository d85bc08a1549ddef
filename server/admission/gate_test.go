package admission

import (
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	site  = netip.MustParseAddr("192.0.2.1")
	other = netip.MustParseAddr("192.0.2.2")
)

func gate(working, pending int) *Gate {
	return NewGate(Config{Working: working, Pending: pending, Log: slog.New(slog.DiscardHandler)})
}

// line is a connection of which only the closing is seen.
type line struct{ closed atomic.Bool }

func (l *line) Close() error { l.closed.Store(true); return nil }

func mustAdmit(t *testing.T, g *Gate, addr netip.Addr) (*attempt, *line) {
	t.Helper()
	l := &line{}
	a, err := g.admit(addr, l)
	if err != nil {
		t.Fatalf("admit from %s: %v, want it taken in: there is room", addr, err)
	}
	return a, l
}

// A whole site comes back behind one address, and one agent from elsewhere: it must not wait for the site.
func TestOneAddressDoesNotCrowdOutAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate(1, 1024)
		holder, _ := mustAdmit(t, g, site)
		if err := holder.enter(); err != nil {
			t.Fatal(err)
		}
		order := make(chan netip.Addr, 301)
		for range 300 {
			shake(t, g, site, order)
		}
		shake(t, g, other, order)
		synctest.Wait()
		holder.end(true)
		for n := 1; ; n++ {
			if <-order == other {
				if n > 2 {
					t.Errorf("the lone agent was let in as number %d, want at most 2: addresses take turns", n)
				}
				break
			}
		}
		time.Sleep(time.Second)
		if len(order) < 299 {
			t.Errorf("%d of the site were let in after it, want the other 299: a shared address starves nobody", len(order))
		}
	})
}

// shake waits for a place in the background, takes a millisecond of work and leaves.
func shake(t *testing.T, g *Gate, addr netip.Addr, order chan<- netip.Addr) {
	t.Helper()
	a, _ := mustAdmit(t, g, addr)
	go func() {
		if err := a.enter(); err != nil {
			t.Errorf("from %s: %v, want its turn", addr, err)
		}
		order <- addr
		time.Sleep(time.Millisecond)
		a.end(true)
	}()
	// The goroutine must be in the queue before the next one comes.
	synctest.Wait()
}

// What was worked on before goes first: else, under load, every handshake would be begun and none finished in time.
func TestWhoHasBegunGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate(1, 1024)
		first, _ := mustAdmit(t, g, site)
		if err := first.enter(); err != nil {
			t.Fatal(err)
		}
		order := make(chan netip.Addr, 3)
		shake(t, g, site, order)
		shake(t, g, site, order)
		first.leave() // it waits for its peer; another begins
		synctest.Wait()
		go func() {
			if err := first.enter(); err != nil {
				t.Error(err)
			}
			order <- other
			first.end(true)
		}()
		synctest.Wait()
		time.Sleep(time.Second)
		<-order
		if next := <-order; next != other {
			t.Error("a new handshake went before one that had begun")
		}
		<-order
	})
}

func TestNoMoreAreWorkedOnThanThereArePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places = 3
		g := gate(places, 1024)
		var now, most atomic.Int32
		for range 50 {
			a, _ := mustAdmit(t, g, site)
			go func() {
				if err := a.enter(); err != nil {
					t.Error(err)
				}
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(time.Millisecond)
				now.Add(-1)
				a.end(true)
			}()
		}
		time.Sleep(time.Second)
		if most.Load() != places {
			t.Errorf("%d handshakes were worked on at once, want %d: more only slow each other down", most.Load(), places)
		}
	})
}

// Half-open connections of one address fill the gate: newcomers of that address are closed, one of another gets in.
func TestAFullGateMakesRoomForAnotherAddress(t *testing.T) {
	g := gate(1, 8)
	var last *attempt
	var lastLine *line
	for range 8 {
		last, lastLine = mustAdmit(t, g, site)
	}
	if _, err := g.admit(site, &line{}); !errors.Is(err, errBusy) {
		t.Errorf("one more of the address that fills the gate: %v, want it turned away", err)
	}
	newcomer, _ := mustAdmit(t, g, other)
	if !lastLine.closed.Load() {
		t.Error("nobody made room: the gate holds more than it may")
	}
	if err := last.enter(); !errors.Is(err, errBusy) {
		t.Errorf("who was turned away goes on (%v)", err)
	}
	last.end(false)
	if err := newcomer.enter(); err != nil {
		t.Errorf("the newcomer: %v, want a place: nobody else wants one", err)
	}
	newcomer.end(true)
	if g.pending != 7 {
		t.Errorf("%d are counted as under way, want 7", g.pending)
	}
}

// Who is turned away while it waits for its turn must not wait for ever, nor take a turn.
func TestWhoIsTurnedAwayStopsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate(1, 2)
		holder, _ := mustAdmit(t, g, site)
		if err := holder.enter(); err != nil {
			t.Fatal(err)
		}
		waiter, _ := mustAdmit(t, g, site)
		told := make(chan error, 1)
		go func() { told <- waiter.enter(); waiter.end(false) }()
		synctest.Wait()
		newcomer, _ := mustAdmit(t, g, other)
		if err := <-told; !errors.Is(err, errBusy) {
			t.Errorf("it was told %v, want that there is no room", err)
		}
		holder.end(true)
		if err := newcomer.enter(); err != nil {
			t.Error(err)
		}
		newcomer.end(true)
		if g.free != 1 || g.pending != 0 || len(g.sources) != 0 {
			t.Errorf("free %d, pending %d, sources %d in the end, want 1, 0, 0: what is kept of the gone would fill the gate",
				g.free, g.pending, len(g.sources))
		}
	})
}

// The rate follows what gets done while every place is taken, and what agents are told follows the rate.
func TestSpreadFollowsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate(2, 4096)
		before := g.Spread(10_000)
		var all sync.WaitGroup
		for range 1000 {
			a, _ := mustAdmit(t, g, site)
			all.Go(func() {
				if err := a.enter(); err != nil {
					t.Error(err)
				}
				time.Sleep(10 * time.Millisecond)
				a.end(true)
			})
		}
		all.Wait()
		// Two places, 10ms each: 200 a second, of which a fifth is left.
		if rate := g.Rate(); rate < 155 || rate > 165 {
			t.Errorf("the rate is %d/s, want about 160", rate)
		}
		if after := g.Spread(10_000); after <= before || after < 60*time.Second || after > 65*time.Second {
			t.Errorf("10,000 agents are spread over %s, and %s before anything was measured; want about 62s now", after, before)
		}
		if few := g.Spread(1); few != time.Second {
			t.Errorf("one agent is told to come back within %s, want 1s", few)
		}
		if many := g.Spread(10_000_000); many != longestReturn {
			t.Errorf("ten million are told %s, want the most, %s", many, longestReturn)
		}
	})
}

// A handshake now and then says nothing of what the machine can do.
func TestLeisureDoesNotCountForTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate(2, 8)
		before := g.Rate()
		for range 4 * sampleCount {
			a, _ := mustAdmit(t, g, site)
			if err := a.enter(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
			a.end(true)
		}
		if after := g.Rate(); after != before {
			t.Errorf("the rate went from %d to %d/s although there was always a free place", before, after)
		}
	})
}

func TestRateHasBounds(t *testing.T) {
	for perSecond, want := range map[float64]int{0: 2 * ratePerCPU, 1: leastRate, 1000: 800, 1e6: mostRate} {
		p := pace{perSecond: perSecond}
		if got := p.rate(2); got != want {
			t.Errorf("at %v/s the rate is %d, want %d", perSecond, got, want)
		}
	}
}
