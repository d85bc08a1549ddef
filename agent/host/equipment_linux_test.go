//go:build realhost

package host_test

import (
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
)

// describeEquipment fills in what Linux machines offer.
func describeEquipment(_ *testing.T, e *hosttest.Equipment) {
	e.ReplacesOpen = true
	for field, reason := range map[string]string{
		"Store": "Linux has no such stores", "Power": "Linux has no such settings", "Features": "these are features of Windows",
		"Registry": "Linux has none", "Device": "sysfs cannot be written to; see TestDeviceIsDisabledAndEnabled",
		"Peer": "a test does not change what this machine trusts; see TestProbeTellsTrustApart",
	} {
		e.Missing[field] = reason
	}
}
