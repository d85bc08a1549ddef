package inventory_test

import (
	"testing"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func TestCountInService(t *testing.T) {
	f := newFixture(t)
	f.enrol("lyon", "press-0")
	id := f.enrol("lyon", "press-1")
	f.enrol("turin", "press-2")
	if n, err := f.CountInService(t.Context()); err != nil || n != 3 {
		t.Errorf("%d terminals are in service (%v), want those of both sites, 3", n, err)
	}
	if _, err := f.Decommission(t.Context(), admin, &fleetv1.DecommissionTerminalRequest{Terminal: id}); err != nil {
		t.Fatal(err)
	}
	if n, err := f.CountInService(t.Context()); err != nil || n != 2 {
		t.Errorf("%d terminals are in service (%v), want 2: one was decommissioned and will not come back", n, err)
	}
}
