package health_test

import (
	"strings"
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/health"
)

const (
	running = actionv1.ServiceStatus_SERVICE_STATUS_RUNNING
	stopped = actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
	user    = fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL
	host    = fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST
)

func service(name string, installed bool, status actionv1.ServiceStatus) *actionv1.ServiceState {
	return &actionv1.ServiceState{Service: name, Installed: installed, Status: status}
}

func TestFaults(t *testing.T) {
	endpoint := service(health.Endpoint, true, running)
	adapter := func(codes ...uint32) *actionv1.DeviceState {
		d := &actionv1.DeviceState{}
		for _, c := range codes {
			d.Devices = append(d.Devices, &actionv1.Device{ProblemCode: c})
		}
		return d
	}
	for name, c := range map[string]struct {
		role  fleetv1.TerminalRole
		facts *agentv1.Facts
		want  string
	}{
		"nothing told":                  {user, nil, ""},
		"no services told":              {user, &agentv1.Facts{}, "services not known"},
		"all runs":                      {user, &agentv1.Facts{Services: []*actionv1.ServiceState{endpoint}, Adapter: adapter(0)}, ""},
		"a stopped endpoint":            {user, &agentv1.Facts{Services: []*actionv1.ServiceState{service(health.Endpoint, true, stopped)}}, "Nymi Bluetooth Endpoint stopped"},
		"no endpoint":                   {user, &agentv1.Facts{Services: []*actionv1.ServiceState{service(health.Endpoint, false, 0)}}, "Nymi Bluetooth Endpoint not installed"},
		"an unknown state":              {user, &agentv1.Facts{Services: []*actionv1.ServiceState{service("Nymi Agent", true, 0)}}, "Nymi Agent state unknown"},
		"a Nymi Agent elsewhere":        {user, &agentv1.Facts{Services: []*actionv1.ServiceState{endpoint, service("Nymi Agent", false, 0)}}, ""},
		"a host needs no endpoint":      {host, &agentv1.Facts{Services: []*actionv1.ServiceState{service(health.Endpoint, false, 0)}, Adapter: adapter()}, ""},
		"an adapter that fails":         {user, &agentv1.Facts{Services: []*actionv1.ServiceState{endpoint}, Adapter: adapter(31)}, "adapter problem code 31"},
		"an adapter that is not there":  {user, &agentv1.Facts{Services: []*actionv1.ServiceState{endpoint}, Adapter: adapter()}, "adapter absent"},
		"two adapters, nobody's choice": {user, &agentv1.Facts{Services: []*actionv1.ServiceState{endpoint}, Adapter: adapter(0, 0)}, "adapter 2 adapters"},
	} {
		if got := strings.Join(health.Faults(c.role, c.facts), ", "); got != c.want {
			t.Errorf("%s: faults %q, want %q", name, got, c.want)
		}
	}
}
