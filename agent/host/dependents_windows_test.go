//go:build realhost && !wine

package host_test

import (
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host"
	"golang.org/x/sys/windows/svc/mgr"
)

// Wine does not know which services depend on which (its EnumDependentServices is empty), so under Wine this file is left out
// with the tag wine.

func TestStopNamesTheDependents(t *testing.T) {
	base := fixtureService{"Bandfleet Fixture Base", "BandfleetFixtureBase", "normal"}
	dependent := fixtureService{"Bandfleet Fixture Dependent", "BandfleetFixtureDependent", "normal"}
	installService(t, base, mgr.Config{DisplayName: base.display, StartType: mgr.StartManual})
	installService(t, dependent, mgr.Config{DisplayName: dependent.display, StartType: mgr.StartManual, Dependencies: []string{base.key}})
	h, err := host.Local(host.LocalConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{base.display, dependent.display} {
		if err := h.Services.Start(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	err = h.Services.Stop(t.Context(), base.display)
	if err == nil || !strings.Contains(err.Error(), dependent.key) || !strings.Contains(err.Error(), "stop them first") {
		t.Errorf("Stop = %v, want an error that names %s: its users would lose it unasked", err, dependent.key)
	}
}
