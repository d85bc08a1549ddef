package cli

import (
	"testing"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// TestAQuarantineIsShown in place of online, in which a terminal is that does not work, and with what to do about it.
func TestAQuarantineIsShown(t *testing.T) {
	terminal := fakeTerminal("T-0001", "lyon-01", "lyon", true)
	if onlineWord(terminal) != "online" || quarantineWord(terminal) != "" {
		t.Errorf("a terminal that works is %q, in quarantine %q", onlineWord(terminal), quarantineWord(terminal))
	}
	terminal.Quarantine = &fleetv1.Quarantine{Time: at(0), Reason: "its agent's journal was rolled back"}
	want := "since 2026-11-24T08:00:00Z: its agent's journal was rolled back; look at it, then `fleetctl terminal release lyon-01`"
	if onlineWord(terminal) != "quarantined" || quarantineWord(terminal) != want {
		t.Errorf("it is %q, in quarantine %q; want quarantined, %q", onlineWord(terminal), quarantineWord(terminal), want)
	}
	terminal.State = fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED
	if onlineWord(terminal) != "decommissioned" {
		t.Errorf("decommissioned in quarantine it is %q: nothing can release it any more", onlineWord(terminal))
	}
}
