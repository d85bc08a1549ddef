package detect

import (
	"context"
	"crypto/x509"
	"log/slog"
	"sync"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Sink takes the reports. An error means that a report is not kept; it is offered again.
type Sink interface {
	Fault(*agentv1.FaultReport) error
}

// Config is what a Detector is made of. All but Offset, Certificate, Leases, Known and Timings must be set.
type Config struct {
	Host *host.Host
	Sink Sink
	// Role of the terminal: it decides which signals there are.
	Role string
	// Now is the server's clock. Reports are stamped by it; waiting goes by the monotonic clock alone.
	Now func() time.Time
	// Offset is how far this machine's clock is ahead of the server's; false while the server has not told its time.
	Offset func() (time.Duration, bool)
	// Certificate is the agent's own; nil while there is none.
	Certificate func() *x509.Certificate
	// Leases are the changes that will end by themselves.
	Leases func() []*actionv1.LeaseState
	// Known are the last reports of the faults that were open when the agent went down. Those that are not of a state are left alone.
	Known   []*agentv1.FaultReport
	Log     *slog.Logger
	Timings Timings
}

// Detector is made by New. Its methods may be called at any time, from any goroutine, and by the Sink too.
type Detector struct {
	cfg     Config
	readers []*reader
	// wake has one element when there is something in what mu guards.
	wake    chan struct{}
	results chan result

	mu       sync.Mutex
	readings what
	// taken are orders that Run has not taken up yet, nudged the signals that are to be read now, all: all are.
	taken  *orders
	nudged map[string]bool
	all    bool
}

// New returns a Detector that reads nothing yet.
func New(c Config) *Detector {
	c.Timings = c.Timings.filled()
	d := &Detector{
		cfg: c, readers: readersOf(c), wake: make(chan struct{}, 1), readings: what{}, nudged: map[string]bool{},
	}
	d.results = make(chan result, len(d.readers))
	return d
}

// Take replaces the orders. They are refused as a whole, and those before stay, when a rule makes no sense. Rules that ask for what this
// agent does not know are left out.
func (d *Detector) Take(o *agentv1.Orders) error {
	compiled, err := compile(o)
	if err != nil {
		return err
	}
	if len(compiled.skipped) > 0 {
		d.cfg.Log.Warn("some rules ask for what this agent does not know: update it", "orders", compiled.version, "entries", compiled.skipped)
	}
	d.mu.Lock()
	d.taken = compiled
	d.mu.Unlock()
	d.stir()
	return nil
}

// Readings returns what was read last, of each signal and subject, sorted by both.
func (d *Detector) Readings() []Reading {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.readings.all()
}

// Nudge has signals be read now, all of them when none is named: after a remedy, or when something else gives reason to look.
func (d *Detector) Nudge(signals ...string) {
	d.mu.Lock()
	d.all = d.all || len(signals) == 0
	for _, signal := range signals {
		d.nudged[signal] = true
	}
	d.mu.Unlock()
	d.stir()
}

// stir wakes Run.
func (d *Detector) stir() {
	select {
	case d.wake <- struct{}{}:
	default: // it is about to wake
	}
}

// Run reads and reports until ctx ends. Before orders were taken it does nothing. It is to be called once.
func (d *Detector) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &run{d: d, ctx: ctx, faults: newFaults(d.cfg, d.cfg.Timings)}
	defer r.watching.Wait()
	defer cancel()
	r.loop()
}
