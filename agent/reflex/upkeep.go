package reflex

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// upkeep opens and closes the breakers that are due, and returns how long until one may be. It needs the lock.
func (e *Engine) upkeep() time.Duration {
	next := int64(math.MaxInt64)
	for of, b := range e.book {
		if at := e.upkeepOf(of, b); at > 0 {
			next = min(next, at)
		}
	}
	if next == math.MaxInt64 {
		return idle
	}
	return time.Duration(next - e.clock.now())
}

// upkeepOf does what is due for one breaker, and returns when something may be due next; 0 is never.
func (e *Engine) upkeepOf(of remedy, b *storagev1.JournalBreaker) int64 {
	now := e.clock.now()
	if b.GetOpen() {
		if now < b.GetUntil() {
			return b.GetUntil()
		}
		e.closeBreaker(b, "its period has passed")
		return now
	}
	current := e.entryOf(of)
	if len(current.GetAttempts()) == 0 {
		e.forget(of, b)
		return 0
	}
	if reason, at := e.overdue(of, current); reason != "" {
		e.open(current, reason)
		return now
	} else if at > 0 {
		return at
	}
	return current.GetAttempts()[0].GetStarted() + int64(period(current))
}

// overdue says why a closed breaker is to open now, or when to look again; 0 is when something else happens.
func (e *Engine) overdue(of remedy, b *storagev1.JournalBreaker) (reason string, at int64) {
	n := len(b.GetAttempts())
	last := b.GetAttempts()[n-1]
	if last.GetEnded() == 0 || uint32(n) < max(1, b.GetGuardrails().GetMaxAttempts()) {
		return "", 0
	}
	if last.GetFailed() {
		return fmt.Sprintf("%d attempts did not help; the last one failed", n), 0
	}
	f := e.faults[subject{of.entry, of.subject}]
	switch {
	case f == nil:
		return "", 0
	case f.seen > last.GetEnded():
		return fmt.Sprintf("the fault was there again after %d attempts", n), 0
	case !isState(f.report):
		return "", 0
	case e.clock.now() >= last.GetEnded()+int64(standAfter):
		return fmt.Sprintf("the fault is there still after %d attempts", n), 0
	}
	return "", last.GetEnded() + int64(standAfter)
}

// isState says that a report is of a state, which is there until it is said to be gone; of a line in a log one knows only that it was written.
func isState(f *agentv1.FaultReport) bool { return f.GetRule() == "state" }

// forget drops a breaker whose attempts count no more.
func (e *Engine) forget(of remedy, b *storagev1.JournalBreaker) {
	if len(b.GetAttempts()) > 0 {
		e.closeBreaker(b, "the period of its attempts has passed")
	}
	if err := e.cfg.Journal.DropBreaker(of.entry, of.subject, of.action); err != nil {
		_ = e.fail(err)
		return
	}
	delete(e.book, of)
}

// SetFacts tells which adapter there is. Another one than before closes every breaker: what was tried was tried with the old one. One that is
// missing for a while is not another one.
func (e *Engine) SetFacts(f *agentv1.Facts) {
	now := adapterIn(f)
	if now == "" {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.adapter = now
	for _, b := range e.book {
		if b.GetAdapter() != "" && b.GetAdapter() != now {
			e.closeBreaker(b, "the adapter was swapped")
		}
	}
}

// adapterIn names the adapters of a machine; empty when there is none.
func adapterIn(f *agentv1.Facts) string {
	var ids []string
	for _, d := range f.GetAdapter().GetDevices() {
		ids = append(ids, d.GetInstance())
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// adapterOf is the adapter that a breaker's record names: the one that is there, or was there last.
func (e *Engine) adapterOf(b *storagev1.JournalBreaker) string {
	if e.adapter != "" {
		return e.adapter
	}
	return b.GetAdapter()
}
