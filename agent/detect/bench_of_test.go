package detect_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/agent/detect"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Names that several tests use.
const (
	terminalRole = "user-terminal"
	nesRole      = "nes-host"
	nesURL       = "https://" + hosttest.NESHostname + "/nes/"
)

// sink keeps what it is told.
type sink struct {
	mu      sync.Mutex
	reports []*agentv1.FaultReport
	// refuse is how many of the next reports are not taken.
	refuse int
}

// Fault implements detect.Sink.
func (s *sink) Fault(r *agentv1.FaultReport) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse > 0 {
		s.refuse--
		return errors.New("the journal is full")
	}
	s.reports = append(s.reports, proto.CloneOf(r))
	return nil
}

// all returns what came since the last call.
func (s *sink) all() []*agentv1.FaultReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	reports := s.reports
	s.reports = nil
	return reports
}

// bench is a Detector that runs in a bubble of testing/synctest.
type bench struct {
	t       *testing.T
	machine *hosttest.Memory
	sink    *sink
	cfg     detect.Config
	d       *detect.Detector
	stop    func()
}

// newBench makes one that does not run yet.
func newBench(t *testing.T, machine *hosttest.Memory, role string) *bench {
	t.Helper()
	b := &bench{t: t, machine: machine, sink: &sink{}}
	b.cfg = detect.Config{
		Host: machine.Host(), Sink: b.sink, Role: role, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	return b
}

// start runs it, until the test ends or stop is called.
func (b *bench) start() {
	b.t.Helper()
	b.d = detect.New(b.cfg)
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan struct{})
	d := b.d
	go func() {
		defer close(ended)
		d.Run(ctx)
	}()
	b.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	b.t.Cleanup(b.stop)
}

func (b *bench) take(o *agentv1.Orders) {
	b.t.Helper()
	if err := b.d.Take(o); err != nil {
		b.t.Fatalf("Take = %v, want the orders taken", err)
	}
	synctest.Wait()
}

// pass lets time pass.
func (b *bench) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// value returns what was read of a signal, "none" when there is no such reading.
func (b *bench) value(signal, subject string) string {
	for _, r := range b.d.Readings() {
		if r.Signal == signal && r.Subject == subject {
			return r.Value
		}
	}
	return "none"
}

// wantNone fails the test when anything was reported.
func (b *bench) wantNone(why string) {
	b.t.Helper()
	if reports := b.sink.all(); len(reports) > 0 {
		b.t.Fatalf("reported %v, want nothing: %s", reports, why)
	}
}

// wantOne returns the only report.
func (b *bench) wantOne(why string) *agentv1.FaultReport {
	b.t.Helper()
	reports := b.sink.all()
	if len(reports) != 1 {
		b.t.Fatalf("reported %v, want one report: %s", reports, why)
	}
	return reports[0]
}

// is is a part of a condition.
func is(signal string, values ...string) *agentv1.SignalIs {
	return &agentv1.SignalIs{Signal: signal, Values: values}
}

func rule(entry string, wait time.Duration, all ...*agentv1.SignalIs) *agentv1.StateRule {
	return &agentv1.StateRule{Entry: entry, All: all, For: durationpb.New(wait)}
}

func ordersOf(version string, site *actionv1.Surroundings, rules ...*agentv1.StateRule) *agentv1.Orders {
	return &agentv1.Orders{Version: version, States: rules, Expectations: &agentv1.Expectations{Site: site}}
}

// evidence returns what a report says under a name.
func evidence(r *agentv1.FaultReport, name string) string {
	at := slices.IndexFunc(r.GetEvidence(), func(e *agentv1.Evidence) bool { return e.GetName() == name })
	if at < 0 {
		return ""
	}
	return r.GetEvidence()[at].GetValue()
}
