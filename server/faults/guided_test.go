package faults_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// tasks remembers of which faults it was told that they are gone.
type tasks struct {
	mu   sync.Mutex
	told []string
}

func (k *tasks) FaultResolved(_ context.Context, id, how string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.told = append(k.told, id+" "+how)
	return nil
}

// The task of a fault ends with it, also when the server was killed between the two.
func TestTasksEndWithTheirFaults(t *testing.T) {
	f, people := newFixture(t), &tasks{}
	f.SetGuided(people)
	guided := func(x *fleetv1.Fault) { x.State, x.GuidedTask = fleetv1.FaultState_FAULT_STATE_GUIDED, "G-1" }
	f.tell("T-0001", f.saw("nbe-missing", ""), f.saw("ble-adapter-missing", ""))
	f.change("F-1", guided)
	f.tell("T-0001", gone("nbe-missing", ""), gone("ble-adapter-missing", ""))
	if !slices.Equal(people.told, []string{"F-1 by itself"}) {
		t.Errorf("told %q, want the one fault with a task", people.told)
	}
	again, later := desk(t, f.store, f.now()), &tasks{}
	again.SetGuided(later)
	if err := again.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(later.told, people.told) {
		t.Errorf("after a start: told %q, want it once more", later.told)
	}
}

func TestAFaultWithoutItsTaskIsDueAgain(t *testing.T) {
	f := newFixture(t)
	f.tell("T-0001", f.saw("nbe-missing", ""))
	year := f.now().AddDate(1, 0, 0)
	f.decide("F-1", year, func(x *fleetv1.Fault) { x.State, x.GuidedTask = fleetv1.FaultState_FAULT_STATE_GUIDED, "G-1" })
	if due := f.due(); len(due) != 0 {
		t.Errorf("due while a person is at it: %v", due)
	}
	if at, err := f.NextDue(t.Context()); err != nil || !at.Equal(year) {
		t.Errorf("next due at %v, %v; want in a year", at, err)
	}
	f.change("F-1", func(x *fleetv1.Fault) { x.State, x.GuidedTask = open, "" })
	if due := f.due(); !slices.Equal(due, []string{"F-1"}) {
		t.Errorf("due: %v; want it once nobody is at it any more", due)
	}
	f.sound()
}
