// Package logs finds faults in the product's log files. It looks for the files of each class of the catalogue, follows them through rotation,
// truncation and restarts of the agent, matches their lines against the rules of the agent's orders, counts, and reports what it finds as
// faults, with the names of people and secrets masked. It only reads, shared, and keeps no file open, so that no program is kept from writing
// or rotating its log. Package agent runs it; what it reports goes to agent/reflex. A fault that only a log tells of is never said to be gone:
// that a log is quiet proves nothing.
package logs

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Sink takes the faults that are found. One that is not taken is offered again.
type Sink interface {
	Fault(*agentv1.FaultReport) error
}

// Config is what a Watcher works with.
type Config struct {
	Files host.Files
	// Users tells of people whose names must be masked; nil means that only the profiles tell.
	Users host.Users
	Sink  Sink
	// Marks is the path of the file that remembers how far each log was read; empty means that it is not remembered.
	Marks string
	// Now is the server's clock as far as the agent knows it; nil means the machine's.
	Now     func() time.Time
	Timings Timings
	// Log hears of what cannot be read, without the names of people; nil means nobody.
	Log *slog.Logger
}

// Watcher follows the log files of a machine. Run is called once; the other methods may be called at any time.
type Watcher struct {
	cfg     Config
	names   *names
	errors  *unmatched
	changed chan struct{}

	mu sync.Mutex
	// orders are those that were taken last; nil before the first.
	orders *orders

	// What follows belongs to Run.
	memory *memory
	// folders are those that were found by the last scan.
	folders []*folder
	tallies tallies
	reader  reader
	// budget is how many bytes may still be read at once.
	budget                int64
	scanned, spent, saved time.Time
	firstScanOf           *orders
	scans                 int
	dirty, reported       bool
}

// New makes a Watcher. It reads nothing before it has orders.
func New(cfg Config) *Watcher {
	cfg.Timings = cfg.Timings.withDefaults()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Watcher{
		cfg: cfg, names: newNames(), errors: newUnmatched(), changed: make(chan struct{}, 1),
		memory: newMemory(), tallies: tallies{},
	}
}

// Run follows the files until ctx ends. What was counted and not reported is kept for the next run.
func (w *Watcher) Run(ctx context.Context) error {
	w.load()
	for {
		timer := time.NewTimer(w.step(ctx))
		select {
		case <-ctx.Done():
			timer.Stop()
			w.save()
			return nil
		case <-w.changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Take goes by other orders from now on, and goes on in each file where it was. Orders that are refused change nothing.
func (w *Watcher) Take(o *agentv1.Orders) error {
	taken, err := compile(o)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.orders = taken
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default: // it has not looked since the last change
	}
	return nil
}

// Unmatched returns the lines that say "error" and match no rule, since it was called last; nil when there are none.
func (w *Watcher) Unmatched() *agentv1.UnmatchedLines { return w.errors.take() }

func (w *Watcher) current() *orders {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.orders
}

// catchUp is how long a step rests when there is more to read than it might.
const catchUp = 100 * time.Millisecond

// step looks once, reads what it may, reports, and returns when to look again.
func (w *Watcher) step(ctx context.Context) time.Duration {
	o := w.current()
	if o == nil {
		return w.cfg.Timings.Scan
	}
	w.allow()
	w.tallies.retain(o)
	if now := time.Now(); w.firstScanOf != o || now.Sub(w.scanned) >= w.cfg.Timings.Scan || now.Before(w.scanned) {
		w.scan(ctx, o)
	}
	unfinished := w.visit(ctx, o)
	w.report(o)
	if w.reported || w.dirty && time.Since(w.saved) >= w.cfg.Timings.Save {
		w.save()
	}
	if unfinished {
		return catchUp
	}
	return w.cfg.Timings.Look
}

// allow adds to the budget what the time since the last step gives, at most a second's worth.
func (w *Watcher) allow() {
	now := time.Now()
	passed := min(now.Sub(w.spent), time.Second)
	if w.spent.IsZero() || passed < 0 {
		passed = time.Second
	}
	w.spent = now
	w.budget = min(w.budget+int64(passed.Seconds()*float64(w.cfg.Timings.Rate)), w.cfg.Timings.Rate)
}

// visit reads on in the folders that may have changed, in turns, until all is read or the budget is spent.
func (w *Watcher) visit(ctx context.Context, o *orders) (unfinished bool) {
	for range maxRounds {
		unfinished = false
		for _, f := range w.folders {
			if ctx.Err() != nil || w.budget <= 0 {
				w.rotate(f)
				return true
			}
			if w.due(ctx, f) {
				w.pass(ctx, o, f)
			}
			unfinished = unfinished || f.unfinished
		}
		if !unfinished {
			return false
		}
	}
	return true
}

// maxRounds bounds a step.
const maxRounds = 64

// rotate puts a folder first, which the budget did not suffice for: it is its turn next.
func (w *Watcher) rotate(first *folder) {
	for i, f := range w.folders {
		if f == first {
			w.folders = append(append([]*folder{}, w.folders[i:]...), w.folders[:i]...)
			return
		}
	}
}
