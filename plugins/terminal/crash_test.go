package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/bleservice"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// refuse has the machine refuse what begins so.
func refuse(call string) func(string) error {
	return func(asked string) error {
		if strings.HasPrefix(asked, call) {
			return errors.New("the machine does not want to")
		}
		return nil
	}
}

// at is a setup for Crash at a site.
func at(s *actionv1.Surroundings, changes ...func(*hosttest.Memory)) runnertest.Setup {
	u := setup(s, changes...)
	u.Plugins = nil
	return u
}

// TestCrashes kills the agent at each step of each action.
func TestCrashes(t *testing.T) {
	for name, c := range map[string]runnertest.Case{
		"nbe-config-set":             {Action: nbeConfigSet{}, Params: values(keyTapThreshold, "-42", keyWindowLong, "60"), Setup: at(site())},
		"nbe-config-set, no file":    {Action: nbeConfigSet{}, Params: values(keyTapThreshold, "-42"), Setup: at(site(), removeFile)},
		"nbe-config-set, no restart": {Action: nbeConfigSet{}, Params: values(keyTapThreshold, "-42", "restart", "false"), Setup: at(site()), Twice: true},
		"nbe-config-set, central":    {Action: nbeConfigSet{}, Params: values(keyAgentURL, urlInventory), Setup: at(centralSite())},
		"nbe-config-reset, default":  {Action: nbeConfigReset{}, Params: values("source", fromDefault), Setup: at(site())},
		"nbe-config-reset, absent":   {Action: nbeConfigReset{}, Params: values("source", fromNothing), Setup: at(site())},
		"nbe-config-reset, profile":  {Action: nbeConfigReset{}, Params: values("source", fromProfile), Setup: at(site())},
		"nes-url-set":                {Action: nesURLSet{}, Params: values("url", nesURL, "view", viewBoth), Setup: at(site())},
		"ble-adapter-cycle":          {Action: bleAdapterCycle{}, Setup: at(site()), Check: adapterWorks},
		"usb-suspend-disable":        {Action: usbSuspendDisable{}, Setup: at(site()), Twice: true},
		"runtime-install":            {Action: runtimeInstall{}, Params: values("package", runtimePackage), Setup: at(site(), withPackage(hosttest.Program{}))},
		"host-reboot":                {Action: hostReboot{}, Params: values("reason", "maintenance"), Setup: at(site())},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runnertest.Crash(t, c)
		})
	}
}

// adapterWorks holds that the adapter is enabled in every end.
func adapterWorks(t *testing.T, m *hosttest.Memory, _ *actionv1.TaskResult) {
	t.Helper()
	found, err := m.Host().Devices.USB(t.Context(), bleservice.AdapterVendor, bleservice.AdapterProduct)
	if err != nil || len(found.GetDevices()) != 1 || found.GetDevices()[0].GetDisabled() || found.GetDevices()[0].GetPort() == "" {
		t.Errorf("the adapter is %v (%v) in the end, want it enabled with its port", found, err)
	}
}
