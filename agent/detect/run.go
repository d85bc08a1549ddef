package detect

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"google.golang.org/protobuf/proto"
)

// run is Run under way. Its goroutine alone uses it.
type run struct {
	d      *Detector
	ctx    context.Context //nolint:containedctx // lives as long as Run
	faults *faults
	site   *actionv1.Surroundings
	// watches says that services are watched, so that they need not be read all the time.
	watches  atomic.Bool
	watching sync.WaitGroup
}

func (r *run) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		r.takeUp()
		again := r.faults.tell()
		if wait := r.launch(again); wait > 0 {
			timer.Reset(wait)
		}
		select {
		case <-r.ctx.Done():
			return
		case <-r.d.wake:
		case done := <-r.d.results:
			r.done(done)
		case <-timer.C:
		}
	}
}

// takeUp takes what other goroutines have left.
func (r *run) takeUp() {
	r.d.mu.Lock()
	taken, nudged, all := r.d.taken, r.d.nudged, r.d.all
	r.d.taken, r.d.nudged, r.d.all = nil, map[string]bool{}, false
	r.d.mu.Unlock()
	if taken != nil {
		r.take(taken)
	}
	if all {
		r.dueAll()
	}
	r.due(slices.Collect(maps.Keys(nudged))...)
}

func (r *run) dueAll() {
	for _, reader := range r.d.readers {
		reader.due = time.Now()
	}
}

// take goes by other orders. What they expect of the machine decides values of signals, so those are read at once.
func (r *run) take(o *orders) {
	first := r.site == nil
	other := first || !proto.Equal(r.site, o.site)
	r.site = o.site
	r.faults.take(o)
	if first {
		r.watch()
	}
	if other {
		r.dueAll()
		return
	}
	for _, reader := range r.d.readers {
		r.look(reader.signals)
	}
}

// launch starts the readers that are due, and says how long nothing else is; 0 while there are no orders.
func (r *run) launch(again time.Time) time.Duration {
	if r.site == nil {
		return 0
	}
	now := time.Now()
	next := again
	for _, reader := range r.d.readers {
		switch {
		case !reader.running && !now.Before(reader.due):
			r.start(reader, now)
		case reader.running && !reader.deadline.IsZero() && !now.Before(reader.deadline):
			r.giveUp(reader)
		}
		if reader.running {
			next = earlier(next, reader.deadline)
		} else {
			next = earlier(next, reader.due)
		}
	}
	return max(time.Until(next), time.Millisecond)
}

func (r *run) start(reader *reader, now time.Time) {
	patience := r.d.cfg.Timings.Patience
	// The context ends a little before the deadline, for those who heed it to say why.
	ctx, cancel := context.WithTimeout(r.ctx, patience-patience/10)
	// Whoever wants it read again meanwhile sets due: what is read now may be from before.
	reader.running, reader.deadline, reader.due = true, now.Add(patience), time.Time{}
	v := view{cfg: r.d.cfg, site: r.site}
	go func() {
		defer cancel()
		readings, err := reader.run(ctx, v)
		r.d.results <- result{reader, readings, err} // it has room for each reader
	}()
}

// giveUp has what a reader that hangs reads be unknown. It is not started again before it has ended.
func (r *run) giveUp(reader *reader) {
	reader.deadline = time.Time{}
	r.d.cfg.Log.Warn("a part of the machine does not answer; what it tells is unknown until it does", "reader", reader.name)
	r.store(reader, nil, errors.New("it did not answer in time"))
}

// done takes a reader's readings in. Those of one that was given up are too old: it is read again.
func (r *run) done(of result) {
	reader := of.of
	late := reader.deadline.IsZero()
	reader.running, reader.due = false, earlier(reader.due, time.Now().Add(r.period(reader)))
	if late {
		reader.due = time.Now()
		return
	}
	if broken, ok := errors.AsType[*panicError](of.err); ok {
		r.d.cfg.Log.Error("a reader of the machine's state panicked; what it tells is unknown", "reader", reader.name, "cause", broken.value, "stack", broken.stack)
	}
	r.store(reader, of.readings, of.err)
}

// store keeps readings and goes by them.
func (r *run) store(reader *reader, readings []Reading, err error) {
	before := r.d.readings.values(reader.signals)
	r.d.mu.Lock()
	r.d.readings.store(reader, readings, err, r.d.cfg.Now())
	r.d.mu.Unlock()
	r.look(reader.signals)
	after := r.d.readings.values(reader.signals)
	for i, signal := range reader.signals {
		if before[i] != after[i] {
			r.due(follow(signal)...)
		}
	}
}

// due has signals be read next.
func (r *run) due(signals ...string) {
	for _, reader := range r.d.readers {
		if slices.ContainsFunc(reader.signals, func(s string) bool { return slices.Contains(signals, s) }) {
			reader.due = time.Now()
		}
	}
}

// follow are the signals that are worth a look when a signal changes, since they are read rarely and it may come of them, or they of it.
func follow(signal string) []string {
	switch signal {
	case "nes-path":
		return []string{"root-certificate"}
	case "endpoint-service":
		return []string{"adapter", "nbe-config"}
	case "nymi-agent-service", "nbe-agent-url":
		return []string{"nymi-agent-port"}
	case "iis-service":
		return []string{"iis-site", "enrollment-service", "crl"}
	case "ca-service":
		return []string{"crl"}
	case "enrollment-service", "console":
		return []string{"iis-site", "https-binding", "windows-features"}
	case "https-binding", "iis-site":
		return []string{"enrollment-service", "tls-certificate"}
	}
	return nil
}

// look judges what the signals say, and has them read again when that may count.
func (r *run) look(signals []string) {
	// Nobody else changes them, so they are read without the lock.
	for signal, due := range r.faults.look(r.d.readings, signals) {
		for _, reader := range r.d.readers {
			if slices.Contains(reader.signals, signal) {
				reader.due = earlier(reader.due, due)
			}
		}
	}
}

// period is the time until a reader's next turn.
func (r *run) period(reader *reader) time.Duration {
	period := r.d.cfg.Timings.period(reader.cost)
	switch {
	case reader.cost == watched && !r.watches.Load():
		return min(period, unwatched)
	case reader.cost == probing && period >= 10:
		return period + rand.N(period/10) //nolint:gosec // only spreads load
	}
	return period
}

// watch has services be read as soon as they change.
func (r *run) watch() {
	readers := map[string]string{}
	var services []string
	for _, reader := range r.d.readers {
		if reader.service != "" {
			readers[reader.service] = reader.signals[0]
			services = append(services, reader.service)
		}
	}
	r.watching.Go(func() {
		for r.ctx.Err() == nil {
			err := r.d.cfg.Host.Services.Watch(r.ctx, services, func(state *actionv1.ServiceState) {
				r.watches.Store(true)
				r.d.Nudge(readers[state.GetService()])
			})
			if r.watches.Swap(false) && r.ctx.Err() == nil {
				r.d.cfg.Log.Warn("services cannot be watched; they are read every few seconds meanwhile", "cause", err)
				r.d.Nudge(signalsOf(readers)...)
			}
			pause(r.ctx, retryGap)
		}
	})
}

func signalsOf(readers map[string]string) []string {
	var signals []string
	for _, signal := range readers {
		signals = append(signals, signal)
	}
	return signals
}

// pause waits, at most until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
