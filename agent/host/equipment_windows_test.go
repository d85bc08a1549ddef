//go:build realhost

package host_test

import (
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
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
