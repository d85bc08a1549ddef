//go:build realhost

package host_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

// describeMachine fills in what Windows machines offer.
func describeMachine(t *testing.T, f *hosttest.Fixture) {
	t.Helper()
	f.Registry = true
	if err := plugAdapter(); err != nil {
		f.Missing["Adapter"] = "this Windows does not let a test write a device into its registry: " + err.Error()
		return
	}
	f.Adapter = true
}

// plugAdapter writes the adapter where Windows keeps devices. Wine lets an administrator do so; Windows itself only lets
// itself.
func plugAdapter() error {
	const device = `SYSTEM\CurrentControlSet\Enum\USB\VID_2458&PID_0001\1`
	const ports = "{4D36E978-E325-11CE-BFC1-08002BE10318}" // setup class of serial ports
	for _, v := range [][3]string{
		{device, "ClassGUID", ports},
		{device, "DeviceDesc", "Bluegiga Bluetooth Low Energy"},
		{device, "FriendlyName", "Bluegiga Bluetooth Low Energy (COM3)"},
		{device + `\Device Parameters`, "PortName", "COM3"},
	} {
		key, _, err := registry.CreateKey(registry.LOCAL_MACHINE, v[0], registry.SET_VALUE)
		if err != nil {
			return err
		}
		if err := errors.Join(key.SetStringValue(v[1], v[2]), key.Close()); err != nil {
			return err
		}
	}
	return nil
}

// installFixtures registers the services and removes them after the test.
func installFixtures(t *testing.T, services map[string]fixtureService) {
	t.Helper()
	for name, s := range services {
		config := mgr.Config{DisplayName: s.display, StartType: mgr.StartManual}
		if name == "disabled" {
			config.StartType = mgr.StartDisabled
		}
		installService(t, s, config)
	}
}

func installService(t *testing.T, s fixtureService, config mgr.Config) {
	t.Helper()
	manager, err := mgr.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := manager.Disconnect(); err != nil {
			t.Error(err)
		}
	})
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	service, err := manager.CreateService(s.key, program, config, fixtureArgument, s.key, s.mode)
	if err != nil {
		t.Fatalf("service %q: %v", s.display, err)
	}
	t.Cleanup(func() { removeService(t, service) })
}

// removeService ends the service's process, however it behaves, and takes the service away.
func removeService(t *testing.T, service *mgr.Service) {
	status, err := service.Query()
	if err == nil && status.ProcessId != 0 {
		process, findErr := os.FindProcess(int(status.ProcessId))
		if findErr == nil {
			err = process.Kill()
		}
	}
	if err := errors.Join(err, service.Delete(), service.Close()); err != nil {
		t.Errorf("service %q stays behind: %v", service.Name, err)
	}
}

// serveFixture is the program of an installed service.
func serveFixture(key, mode string) int {
	if err := svc.Run(key, fixtureHandler(mode)); err != nil {
		return 1
	}
	return 0
}

type fixtureHandler string

// Execute implements svc.Handler.
func (mode fixtureHandler) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (bool, uint32) {
	status <- svc.Status{State: svc.StartPending}
	if mode == "crash" {
		return true, fixtureExitCode
	}
	status <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop}
	var death <-chan time.Time
	if mode == "die" {
		death = time.After(dieAfter)
	}
	for {
		select {
		case <-death:
			return true, fixtureExitCode
		case request := <-requests:
			switch {
			case request.Cmd == svc.Interrogate:
				status <- request.CurrentStatus
			case request.Cmd == svc.Stop && mode == "hang":
				status <- svc.Status{State: svc.StopPending}
			case request.Cmd == svc.Stop:
				return false, 0
			}
		}
	}
}

func TestKillRefusesASharedProcess(t *testing.T) {
	shared := fixtureService{"Bandfleet Fixture Shared", "BandfleetFixtureShared", "normal"}
	installService(t, shared, mgr.Config{
		DisplayName: shared.display, StartType: mgr.StartManual, ServiceType: windows.SERVICE_WIN32_SHARE_PROCESS,
	})
	h, err := host.Local(host.LocalConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Services.Start(t.Context(), shared.display); err != nil {
		t.Fatal(err)
	}
	state, err := h.Services.State(t.Context(), shared.display)
	if err != nil {
		t.Fatal(err)
	}
	err = h.Services.Kill(t.Context(), shared.display, state.GetPid())
	if err == nil || !strings.Contains(err.Error(), "shares its process") {
		t.Errorf("Kill = %v, want a refusal: other services live in that process", err)
	}
}

func TestReplacedFileKeepsItsAccessList(t *testing.T) {
	folder := emptyFolder(t)
	path := folder + `\nbe.toml`
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	const wanted = "D:PAI(A;;FA;;;BA)(A;;FR;;;BU)"
	setAccessList(t, path, wanted)
	h, err := host.Local(host.LocalConfig{Roots: map[string]string{"files": folder}})
	if err != nil {
		t.Fatal(err)
	}
	before := accessList(t, path)
	if err := h.Files.Write(t.Context(), "files", "nbe.toml", []byte("new")); err != nil {
		t.Fatal(err)
	}
	if after := accessList(t, path); after != before {
		t.Errorf("access list %q before, %q after; want it kept: the endpoint's account must still read its file", before, after)
	}
}

func setAccessList(t *testing.T, path, text string) {
	t.Helper()
	descriptor, err := windows.SecurityDescriptorFromString(text)
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := descriptor.DACL()
	if err != nil {
		t.Fatal(err)
	}
	err = windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, list, nil)
	if err != nil {
		t.Fatal(err)
	}
}

func accessList(t *testing.T, path string) string {
	t.Helper()
	descriptor, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		t.Fatal(err)
	}
	return descriptor.String()
}
