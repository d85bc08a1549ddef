package main

import (
	"testing"

	"github.com/bandfleet/bandfleet/plugins/bleservice"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	"github.com/bandfleet/bandfleet/plugins/sdk/sdktest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	ready   = actionv1.PlanVerdict_PLAN_VERDICT_READY
	refused = actionv1.PlanVerdict_PLAN_VERDICT_REFUSED
)

// machine is a terminal that is fit for it, after it was changed.
func machine(changes ...func(*sdktest.Machine)) func() *sdktest.Machine {
	return func() *sdktest.Machine {
		m := &sdktest.Machine{
			Services: map[string]*actionv1.ServiceState{
				bleservice.Endpoint: {Service: bleservice.Endpoint, Installed: true, Status: actionv1.ServiceStatus_SERVICE_STATUS_RUNNING, Pid: 41},
			},
			Devices: map[string][]*actionv1.Device{bleservice.AdapterVendor + ":" + bleservice.AdapterProduct: {{Name: "Bluegiga", Port: "COM3"}}},
			Model: sdktest.Model{
				Machine: &actionv1.MachineState{FreeBytes: 50 << 30},
				Programs: map[string]*actionv1.ProgramState{tool: {
					Known: true, Exists: true, Approved: true, Path: `C:\Nymi_firmware\nsp_logs_download.exe`, Sha256: "11",
					NewFiles: []*actionv1.FileState{{Path: "band.log", Exists: true, Size: 900, Sha256: "22"}},
				}},
			},
		}
		for _, change := range changes {
			change(m)
		}
		return m
	}
}

func TestLogsFetchConforms(t *testing.T) {
	serial := map[string]string{"band_serial": "AAAH-00125"}
	program := func(p *actionv1.ProgramState) func(*sdktest.Machine) {
		return func(m *sdktest.Machine) { m.Programs[tool] = p }
	}
	sdktest.Conformance(t, func() sdk.Action { return logsFetch{} }, map[string]sdktest.Case{
		"fit":           {Machine: machine(), Verdict: ready, Params: serial},
		"not installed": {Machine: machine(func(m *sdktest.Machine) { m.Services = nil }), Verdict: ready, Params: serial},
		"stopped": {Verdict: ready, Params: serial, Machine: machine(func(m *sdktest.Machine) {
			m.Services[bleservice.Endpoint].Status, m.Services[bleservice.Endpoint].Pid = actionv1.ServiceStatus_SERVICE_STATUS_STOPPED, 0
		})},
		"unknown":    {Machine: machine(program(&actionv1.ProgramState{})), Verdict: refused, Params: serial},
		"not there":  {Machine: machine(program(&actionv1.ProgramState{Known: true})), Verdict: refused, Params: serial},
		"unapproved": {Machine: machine(program(&actionv1.ProgramState{Known: true, Exists: true, Sha256: "33"})), Verdict: refused, Params: serial},
		"no adapter": {Machine: machine(func(m *sdktest.Machine) { m.Devices = nil }), Verdict: refused, Params: serial},
		"disk full":  {Machine: machine(func(m *sdktest.Machine) { m.Machine.FreeBytes = 1 << 20 }), Verdict: refused, Params: serial},
	})
}
