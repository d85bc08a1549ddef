// Package health says what is wrong with a terminal by the facts that its agent has told. The server goes by it where it keeps
// terminals working, and fleetctl shows it, so that people and the server mean the same by "unhealthy".
package health

import (
	"fmt"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// Endpoint is the service without which nobody can tap at a user terminal.
const Endpoint = "Nymi Bluetooth Endpoint"

// Faults lists what is wrong with a terminal of a role, in words ("Nymi Bluetooth Endpoint stopped"). Only a user terminal needs
// the endpoint and the adapter; a Nymi Agent that is not installed may be another machine's. Of a terminal without facts
// nothing is known to be wrong.
func Faults(role fleetv1.TerminalRole, facts *agentv1.Facts) []string {
	if facts == nil {
		return nil
	}
	var out []string
	userTerminal := role == fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL
	if len(facts.GetServices()) == 0 {
		out = append(out, "services not known")
	}
	for _, s := range facts.GetServices() {
		switch {
		case !s.GetInstalled() && (!userTerminal || s.GetService() != Endpoint):
		case s.GetStatus() != actionv1.ServiceStatus_SERVICE_STATUS_RUNNING || !s.GetInstalled():
			out = append(out, s.GetService()+" "+Service(s))
		}
	}
	if adapter := Adapter(facts.GetAdapter()); userTerminal && adapter != "" && adapter != present {
		out = append(out, "adapter "+adapter)
	}
	return out
}

// Service is the first word on a service: "running", "stopped", "not installed".
func Service(s *actionv1.ServiceState) string {
	switch {
	case !s.GetInstalled():
		return "not installed"
	case s.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_UNSPECIFIED:
		return "state unknown"
	}
	word := strings.TrimPrefix(s.GetStatus().String(), "SERVICE_STATUS_")
	return strings.ReplaceAll(strings.ToLower(word), "_", "-")
}

// present is an adapter that works.
const present = "present"

// Adapter is the first word on the Bluetooth adapter: "present", "absent", "problem code 31"; empty when it is not known.
func Adapter(d *actionv1.DeviceState) string {
	switch devices := d.GetDevices(); {
	case d == nil:
		return ""
	case len(devices) == 0:
		return "absent"
	case len(devices) > 1:
		return fmt.Sprintf("%d adapters", len(devices))
	case devices[0].GetProblemCode() != 0:
		return fmt.Sprintf("problem code %d", devices[0].GetProblemCode())
	default:
		return present
	}
}
