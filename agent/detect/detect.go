package detect

import (
	"context"
	"crypto/x509"
	"log/slog"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Sink takes the reports. An error means that a report is not kept; it is offered again.
type Sink interface {
	Fault(*agentv1.FaultReport) error
}

// Config is what a Detector is made of. All but Known, Certificate, Offset, Leases and Timings must be set.
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
	// Known are the last reports of the faults that were open when the agent went down.
	Known   []*agentv1.FaultReport
	Log     *slog.Logger
	Timings Timings
}

// Detector is made by New. Its methods may be called at any time, from any goroutine.
type Detector struct {
	cfg Config
}

// New returns a Detector that reads nothing yet.
func New(c Config) *Detector { return &Detector{cfg: c} }

// Run reads and reports until ctx ends. Before orders were taken it does nothing.
func (d *Detector) Run(ctx context.Context) { <-ctx.Done() }

// Take replaces the orders. They are refused as a whole, and those before stay, when a rule makes no sense.
func (d *Detector) Take(*agentv1.Orders) error { return nil }

// Readings returns what was read last, of each signal and subject.
func (d *Detector) Readings() []Reading { return nil }

// Nudge has signals be read now, all of them when none is named: after a remedy, or when something else gives reason to look.
func (d *Detector) Nudge(signals ...string) {}
