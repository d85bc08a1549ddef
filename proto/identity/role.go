package identity

import fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"

// RoleWord is a terminal's role as manifests, tokens and people name it; empty for none.
func RoleWord(r fleetv1.TerminalRole) string {
	switch r {
	case fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL:
		return "user-terminal"
	case fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST:
		return "nes-host"
	default:
		return ""
	}
}
