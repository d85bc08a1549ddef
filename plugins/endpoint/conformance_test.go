package main

import (
	"testing"

	"github.com/bandfleet/bandfleet/plugins/bleservice"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	"github.com/bandfleet/bandfleet/plugins/sdk/sdktest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	ready    = actionv1.PlanVerdict_PLAN_VERDICT_READY
	noChange = actionv1.PlanVerdict_PLAN_VERDICT_NO_CHANGE
	refused  = actionv1.PlanVerdict_PLAN_VERDICT_REFUSED
)

// machine is a healthy terminal after it was changed.
func machine(changes ...func(*sdktest.Machine)) func() *sdktest.Machine {
	return func() *sdktest.Machine {
		m := &sdktest.Machine{
			Services: map[string]*actionv1.ServiceState{
				bleservice.Endpoint:  {Service: bleservice.Endpoint, Installed: true, Status: actionv1.ServiceStatus_SERVICE_STATUS_RUNNING, Pid: 41},
				bleservice.NymiAgent: {Service: bleservice.NymiAgent, Installed: true, Status: actionv1.ServiceStatus_SERVICE_STATUS_RUNNING, Pid: 42},
			},
			Devices:  map[string][]*actionv1.Device{bleservice.AdapterVendor + ":" + bleservice.AdapterProduct: {{Name: "Bluegiga Bluetooth Low Energy (COM3)"}}},
			Files:    map[string]string{bleservice.Root + "/" + bleservice.ConfigFile: `agent_url = "` + bleservice.DefaultAgentURL + `"`},
			Open:     map[string]bool{"127.0.0.1:9120": true},
			AgentURL: "127.0.0.1:9120",
			Host:     &actionv1.HostState{Hostname: "press-4", Addresses: []string{"192.0.2.4"}},
		}
		for _, change := range changes {
			change(m)
		}
		return m
	}
}

func stopped(service string) func(*sdktest.Machine) {
	return func(m *sdktest.Machine) {
		m.Services[service].Status, m.Services[service].Pid = actionv1.ServiceStatus_SERVICE_STATUS_STOPPED, 0
	}
}

func disabled(service string) func(*sdktest.Machine) {
	return func(m *sdktest.Machine) { m.Services[service].Disabled = true }
}

func missing(service string) func(*sdktest.Machine) {
	return func(m *sdktest.Machine) { delete(m.Services, service) }
}

func TestBLERestartConforms(t *testing.T) {
	ensure := map[string]string{"mode": "ensure-running"}
	sdktest.Conformance(t, func() sdk.Action { return bleRestart{} }, map[string]sdktest.Case{
		"healthy":           {Machine: machine(), Verdict: ready},
		"force":             {Machine: machine(), Verdict: ready, Params: map[string]string{"force_kill": "true", "stop_timeout": "1m", "allow_in_session": "true"}},
		"stopped":           {Machine: machine(stopped(bleservice.Endpoint)), Verdict: ready},
		"ensure: running":   {Machine: machine(), Verdict: noChange, Params: ensure},
		"ensure: stopped":   {Machine: machine(stopped(bleservice.Endpoint)), Verdict: ready, Params: ensure},
		"not installed":     {Machine: machine(missing(bleservice.Endpoint)), Verdict: refused},
		"disabled":          {Machine: machine(stopped(bleservice.Endpoint), disabled(bleservice.Endpoint)), Verdict: refused},
		"disabled, running": {Machine: machine(disabled(bleservice.Endpoint)), Verdict: refused},
	})
}

func TestNymiAgentRestartConforms(t *testing.T) {
	sdktest.Conformance(t, func() sdk.Action { return nymiAgentRestart{} }, map[string]sdktest.Case{
		"running":       {Machine: machine(), Verdict: noChange},
		"restart":       {Machine: machine(), Verdict: ready, Params: map[string]string{"mode": "restart"}},
		"stopped":       {Machine: machine(stopped(bleservice.NymiAgent)), Verdict: ready},
		"not installed": {Machine: machine(missing(bleservice.NymiAgent)), Verdict: refused},
		"disabled":      {Machine: machine(stopped(bleservice.NymiAgent), disabled(bleservice.NymiAgent)), Verdict: refused},
		"no files":      {Machine: machine(func(m *sdktest.Machine) { m.Files = nil }), Verdict: noChange},
		"elsewhere": {Verdict: refused, Machine: machine(func(m *sdktest.Machine) {
			m.Files[bleservice.Root+"/"+bleservice.ConfigFile] = `agent_url = "ws://central.plant.example:9120/socket/websocket"`
		})},
		"broken nbe.toml": {Verdict: refused, Machine: machine(func(m *sdktest.Machine) { m.Files[bleservice.Root+"/"+bleservice.ConfigFile] = "agent_url = " })},
	})
}
