//go:build realhost

package host_test

import (
	"context"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	"golang.org/x/sys/windows"
)

// describeEquipment fills in what Windows machines offer.
func describeEquipment(t *testing.T, e *hosttest.Equipment) {
	t.Helper()
	e.Registry, e.Peer = true, servingTLS(t, trusted(t, e.Host))
	e.Missing["Device"] = "a test does not take a device from this machine"
	e.Missing["Features"] = "a test does not add features to this machine"
	if onWine() {
		e.Missing["Store"] = "Wine imports no elliptic keys; see TestPFXIsImported and TestRootIsAddedOnceAndRemoved"
		e.Missing["ReplacesOpen"] = "Wine replaces no open file, as Windows before 10 version 1709"
		e.Missing["Power"] = "Wine has no power schemes"
		return
	}
	e.ReplacesOpen = true
	e.Store, e.Power = "My", hosttest.USBSuspendSetting()
}

// onWine says whether this Windows is one.
func onWine() bool {
	return windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil
}

// trusted adds an authority to what this machine trusts, for as long as the test lasts.
func trusted(t *testing.T, h *host.Host) *sample.Authority {
	t.Helper()
	authority, err := sample.NewAuthority("Bandfleet test trusted")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Certificates.Add(t.Context(), "Root", authority.Certificate.Raw); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Certificates.Remove(context.Background(), "Root", authority.SHA256()); err != nil {
			t.Errorf("this machine trusts a test's authority from now on: %v", err)
		}
	})
	return authority
}
