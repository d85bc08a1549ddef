package logs

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRunGoesOnWhereItWas: the whole, by its own clock, over a restart and with orders that come while it runs.
func TestRunGoesOnWhereItWas(t *testing.T) {
	m := newMachine(t, timeoutRule())
	m.cfg.Now, m.cfg.Timings = nil, Timings{Look: time.Millisecond, Scan: time.Millisecond}
	m.w = New(m.cfg)
	stop := m.run()
	m.take(timeoutRule())
	m.await(func() bool { return m.w.Unmatched() == nil && m.looked() })
	m.add(nemLog, timeout+"\n")
	m.await(func() bool { return m.got()["band-timeout"] == 1 })
	stop()
	m.add(nemLog, timeout+"\n")
	m.w = New(m.cfg)
	m.take(timeoutRule())
	defer m.run()()
	m.await(func() bool { return m.got()["band-timeout"] == 2 })
	for _, f := range m.sink.all() {
		if f.GetHistorical() {
			t.Errorf("%v is historical, want none: all was written after the first look", f)
		}
	}
}

// looked says whether the first look is over: it wrote the sign that a line after it is new.
func (m *machine) looked() bool {
	m.add("profiles/eve/"+nemFolder[len("profiles/ada/"):]+"nem.log", "ERROR - a sign\n")
	return m.w.Unmatched() != nil
}

func (m *machine) run() (stop func()) {
	ctx, cancel := context.WithCancel(m.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.w.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			m.t.Errorf("Run = %v, want nil at its context's end", err)
		}
	}
}

func (m *machine) await(is func() bool) {
	m.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !is() {
		if time.Now().After(deadline) {
			m.t.Fatalf("within a minute it did not come about; told were %v", m.sink.all())
		}
		time.Sleep(5 * time.Millisecond)
	}
}
