package runner

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
)

// TestObligation: a service that does not start is tried again and again, over a restart of the agent, at a bounded rate, and
// nobody else gets its lock in the middle of a try.
func TestObligation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		b.machine.Install(service, hosttest.Script{FailStarts: -1})
		b.wantStatus(b.do(b.task("j", "restart")), rollbackFailed)
		time.Sleep(time.Hour)
		tries := len(b.machine.Calls())
		if tries < 12 || tries > 30 {
			t.Errorf("%d tries in an hour, want one each 5 minutes after the first few", tries)
		}
		b.restart()
		time.Sleep(time.Minute)
		if n := len(b.machine.Calls()); n == tries {
			t.Error("no try after a restart of the agent")
		}
		b.machine.Install(service, hosttest.Script{})
		time.Sleep(6 * time.Minute)
		b.wantRunning()
		if left, _ := b.journal.Obligations(); len(left) != 0 {
			t.Errorf("obligations are %v, want none when the service runs", left)
		}
		calls := len(b.machine.Calls())
		time.Sleep(24 * time.Hour)
		if n := len(b.machine.Calls()); n != calls {
			t.Errorf("%d calls after the obligation had ended, want none", n-calls)
		}
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestObligationYieldsToSomebodysDecision: a service that was disabled or removed is not fought over.
func TestObligationYieldsToSomebodysDecision(t *testing.T) {
	for name, decide := range map[string]func(m *hosttest.Memory){
		"disabled": func(m *hosttest.Memory) { m.Install(service, hosttest.Script{Disabled: true}) },
		"removed":  func(m *hosttest.Memory) { m.Uninstall(service) },
		"started":  func(m *hosttest.Memory) { m.StartNow(service) },
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				b.machine.Install(service, hosttest.Script{FailStarts: -1})
				b.wantStatus(b.do(b.task("j", "restart")), rollbackFailed)
				decide(b.machine)
				time.Sleep(10 * time.Minute)
				if left, _ := b.journal.Obligations(); len(left) != 0 {
					t.Errorf("obligations are %v, want none", left)
				}
			})
		})
	}
}
