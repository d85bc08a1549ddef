package faults_test

import (
	"context"
	"sync"
	"testing"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// A pack that is removed takes its entries with it. Their faults would stand open for ever: no agent looks for them any more.
func TestFaultsOfEntriesThatAreNoMoreEnd(t *testing.T) {
	f := newFixture(t)
	f.tell("T-0001", f.saw("nbe-missing", ""), f.saw("lock-usb-suspend", ""))
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	defer running.Wait()
	defer stop()
	f.without("nbe-missing")
	for deadline := time.Now().Add(time.Minute); f.fault("F-1").GetState() != fleetv1.FaultState_FAULT_STATE_RESOLVED; {
		if time.Now().After(deadline) {
			t.Fatal("the fault is open still, want it resolved: its entry is no more")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if got := f.fault("F-1").GetResolvedBy(); got != "its entry is no more" {
		t.Errorf("resolved by %q, want that its entry is no more", got)
	}
	if other := f.fault("F-2"); other.GetState() != fleetv1.FaultState_FAULT_STATE_OPEN {
		t.Errorf("the fault of another entry is %s, want it open", other.GetState())
	}
	f.tell("T-0001", gone("nbe-missing", ""), f.saw("nbe-missing", ""))
	if n := f.Refused(); n != 1 {
		t.Errorf("%d pieces of news were counted as left out, want the one that opens a fault of an entry that is no more, and not the end of one", n)
	}
	f.sound()
}
