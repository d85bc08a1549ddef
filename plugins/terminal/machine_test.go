package main

import (
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/bleservice"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const runtimePackage = "nymi-runtime"

// withPackage puts the vendor's package on the agent's allow-list.
func withPackage(p hosttest.Program) func(*hosttest.Memory) {
	return func(m *hosttest.Memory) { m.SetProgram(runtimePackage, p) }
}

const (
	instance   = `USB\VID_2458&PID_0001\1`
	disableBLE = `disable "USB\\VID_2458&PID_0001\\1"`
	enableBLE  = `enable "USB\\VID_2458&PID_0001\\1"`
)

func TestBLEAdapterCycleOutcomes(t *testing.T) {
	devices := func(list ...*actionv1.Device) func(*hosttest.Memory) {
		return func(m *hosttest.Memory) { m.SetDevices(bleservice.AdapterVendor, bleservice.AdapterProduct, list...) }
	}
	behaves := func(s hosttest.DeviceScript) func(*hosttest.Memory) {
		return func(m *hosttest.Memory) { m.ScriptDevice(instance, s) }
	}
	checkOutcomes(t, "ble-adapter-cycle", map[string]outcome{
		"works":   {want: succeeded, calls: []string{stopBLE, disableBLE, enableBLE, startBLE}},
		"stopped": {arrange: func(m *hosttest.Memory) { m.StopNow(bleservice.Endpoint) }, want: succeeded, calls: []string{disableBLE, enableBLE, startBLE}},
		"none":    {arrange: devices(), want: taskRefused, reason: "no Bluetooth adapter", next: "plug the adapter in", calls: []string{}},
		"two":     {arrange: func(m *hosttest.Memory) { m.SetAdapters(2) }, want: taskRefused, reason: "2 Bluetooth adapters", next: "leave one", calls: []string{}},
		"firmware-update mode": {
			arrange: devices(&actionv1.Device{Instance: instance, Name: "BLED112 bootloader", Class: "USBDevice"}),
			want:    taskRefused, reason: "firmware-update mode", next: "swap the adapter", calls: []string{},
		},
		"off too long":     {params: values("off_for", "6s"), want: taskRefused, reason: "allow_in_session=true", calls: []string{}},
		"off long, wanted": {params: values("off_for", "60s", "allow_in_session", "true"), want: succeeded},
		"stays broken": {
			arrange: behaves(hosttest.DeviceScript{StaysBroken: true}), want: failed, reason: "the Bluetooth adapter works", next: "another USB port",
		},
		"access is denied": {arrange: behaves(hosttest.DeviceScript{Refuses: true}), want: failed, reason: "access is denied", calls: []string{stopBLE, disableBLE, startBLE}},
		"endpoint does not stop": {
			arrange: func(m *hosttest.Memory) { m.Install(bleservice.Endpoint, hosttest.Script{HangsOnStop: true}) },
			want:    rollbackFailed, reason: "did not stop", next: "force_kill",
		},
	})
}

func TestUSBSuspendDisableOutcomes(t *testing.T) {
	power := func(ac, dc uint32, byPolicy bool) func(*hosttest.Memory) {
		return func(m *hosttest.Memory) {
			m.SetPower(&actionv1.PowerState{Setting: hosttest.USBSuspendSetting(), Ac: ac, Dc: dc, ByPolicy: byPolicy})
		}
	}
	checkOutcomes(t, "usb-suspend-disable", map[string]outcome{
		"on":      {want: succeeded, next: "next wake-up"},
		"off":     {arrange: power(0, 0, false), want: unchanged, calls: []string{}},
		"battery": {params: values("ac", "false"), want: succeeded},
		"policy":  {arrange: power(1, 1, true), want: taskRefused, reason: "group policy", next: "change the policy", calls: []string{}},
		"refused": {arrange: func(m *hosttest.Memory) { m.Interpose(refuse("")) }, want: failed, reason: "does not want to"},
	})
	runnertest.In(t, setup(site()), func(b *runnertest.Bench) {
		b.Run("usb-suspend-disable", values("dc", "false")).Want(succeeded)
		now, err := b.Host().Power.Get(t.Context(), hosttest.USBSuspendSetting())
		if err != nil || now.GetAc() != 0 || now.GetDc() != 1 {
			t.Errorf("the setting is %v (%v), want off on mains and as before on battery", now, err)
		}
	})
}

func TestRuntimeInstallOutcomes(t *testing.T) {
	params := values("package", runtimePackage)
	checkOutcomes(t, "runtime-install", map[string]outcome{
		"installs":      {params: params, arrange: withPackage(hosttest.Program{}), want: succeeded},
		"not listed":    {params: params, want: taskRefused, reason: "not on the allow-list", next: "add it under programs", calls: []string{}},
		"not there":     {params: params, arrange: withPackage(hosttest.Program{Missing: true}), want: taskRefused, reason: "is not there", calls: []string{}},
		"other hash":    {params: params, arrange: withPackage(hosttest.Program{Unapproved: true}), want: taskRefused, reason: "is not approved", next: "compare that hash", calls: []string{}},
		"fails":         {params: params, arrange: withPackage(hosttest.Program{ExitCode: 1603}), want: failed, reason: "exit code 1603", next: "by hand"},
		"hangs":         {params: params, arrange: withPackage(hosttest.Program{Hangs: true}), want: failed, reason: "did not end within 10m", next: "by hand"},
		"a bad package": {params: values("package", "../x"), want: taskRefused, reason: "want a name of the agent's allow-list", calls: []string{}},
		"service stays away": {
			params: params, want: failed, reason: `"Nymi Bluetooth Endpoint" runs`,
			arrange: func(m *hosttest.Memory) { withPackage(hosttest.Program{})(m); m.Uninstall(bleservice.Endpoint) },
		},
	})
}

// TestTheInstallersConfigurationIsReplaced has the installer write its own nbe.toml and stop the endpoint.
func TestTheInstallersConfigurationIsReplaced(t *testing.T) {
	for name, c := range map[string]struct {
		exit int64
		want actionv1.TaskStatus
	}{"it succeeds": {0, succeeded}, "it fails": {1, failed}} {
		t.Run(name, func(t *testing.T) {
			runnertest.In(t, setup(site(), withPackage(hosttest.Program{ExitCode: c.exit})), func(b *runnertest.Bench) {
				b.Machine.Interpose(func(call string) error {
					if call == `run "nymi-runtime"` {
						b.Machine.SetFile(bleservice.Root, bleservice.ConfigFile, template)
						b.Machine.StopNow(bleservice.Endpoint)
					}
					return nil
				})
				b.Run("runtime-install", values("package", runtimePackage)).Want(c.want)
				if got := fileText(b.Machine); got != sample {
					t.Errorf("nbe.toml is %q in the end, want the one from before the installation", got)
				}
				state, err := b.Host().Services.State(t.Context(), bleservice.Endpoint)
				if err != nil || !bleservice.Running(state) {
					t.Errorf("the endpoint is %v (%v) in the end, want it running", state, err)
				}
			})
		})
	}
}
