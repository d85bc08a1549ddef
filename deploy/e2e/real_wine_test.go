//go:build real

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/sample"
	"github.com/bandfleet/bandfleet/deploy/testhosts/wine"
)

const (
	endpointKey  = "NymiBluetoothEndpoint"
	behaviour    = `C:\svc\behaviour.txt`
	testService  = `C:\svc\testservice.exe`
	agentProgram = `C:\bandfleet\fleet-agent.exe`
	agentData    = `C:\ProgramData\Bandfleet`
	pluginFolder = `C:\bandfleet\plugins`
	vendorTool   = `C:\vendor\testtool.exe`
)

// windowsMachine is a Wine prefix in which the endpoint is a real Windows service.
type windowsMachine struct {
	prefix *wine.Prefix
}

// newWindowsMachine sets a machine up as the vendor's installers would, as far as the product looks.
func newWindowsMachine(t *testing.T) *windowsMachine {
	t.Helper()
	p, err := wine.Start(background(), cache(t), filepath.Join(t.TempDir(), "wine"))
	if err != nil {
		t.Fatal(err)
	}
	m := &windowsMachine{prefix: p}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Errorf("stop wine: %v", err)
		}
	})
	m.install(t)
	m.run(t, testService, "install", "-key", endpointKey, "-display", endpoint, "-behaviour", behaviour)
	m.run(t, testService, "install", "-key", "NymiAgent", "-display", "Nymi Agent", "-behaviour", `C:\svc\agent.txt`, "-listen", "127.0.0.1:9120")
	m.run(t, testService, "start", "-key", "NymiAgent")
	m.addAdapter(t)
	return m
}

// install copies the programs, built for Windows, into the machine.
func (m *windowsMachine) install(t *testing.T) {
	t.Helper()
	bin := windowsPrograms(t)
	files := map[string]string{
		"fleet-agent.exe": agentProgram, "testservice.exe": testService, "testtool.exe": vendorTool,
		"plugins/plugins.lock": pluginFolder + `\plugins.lock`,
	}
	plugins, err := filepath.Glob(filepath.Join(bin, "plugins", "*.exe"))
	must(t, err)
	for _, path := range plugins {
		files["plugins/"+filepath.Base(path)] = pluginFolder + `\` + filepath.Base(path)
	}
	for from, to := range files {
		if err := m.prefix.Copy(filepath.Join(bin, from), to); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"nbe.toml", "nbe.default.toml"} {
		if err := m.prefix.Write(`C:\Nymi\Bluetooth_Endpoint\`+name, []byte(nbeTOML)); err != nil {
			t.Fatal(err)
		}
	}
}

// windowsPrograms is a folder with what a terminal needs, built for Windows: all of the product's plugins, and the tests' own. The first
// machine of a run waits for it.
func windowsPrograms(t *testing.T) string {
	t.Helper()
	bin, env := program("windows"), []string{"GOOS=windows", "GOARCH=amd64"}
	mustBuild(t, env, "go", "build", "-trimpath", "-o", bin+"/", "./agent/cmd/fleet-agent", "./deploy/testhosts/testservice", "./deploy/testhosts/testtool")
	mustBuild(t, env, append([]string{"go", "build", "-trimpath", "-o", bin + "/plugins/", "./deploy/e2e/drill"}, productPlugins()...)...)
	mustBuild(t, nil, program("fleet-agent"), "plugins", "lock", bin+"/plugins", "--describe-from", program("drills"))
	return bin
}

// addAdapter writes what Windows writes into its registry for a BLED112 in a USB port.
func (m *windowsMachine) addAdapter(t *testing.T) {
	t.Helper()
	const instance = `HKLM\SYSTEM\CurrentControlSet\Enum\USB\VID_2458&PID_0001\1`
	// The setup class of serial ports; an adapter in its firmware update mode has another.
	m.run(t, "reg", "add", instance, "/v", "ClassGUID", "/d", "{4D36E978-E325-11CE-BFC1-08002BE10318}", "/f")
	m.run(t, "reg", "add", instance, "/v", "DeviceDesc", "/d", "Bluegiga Bluetooth Low Energy", "/f")
	m.run(t, "reg", "add", instance, "/v", "FriendlyName", "/d", "Bluegiga Bluetooth Low Energy (COM3)", "/f")
	m.run(t, "reg", "add", instance+`\Device Parameters`, "/v", "PortName", "/d", "COM3", "/f")
}

func (m *windowsMachine) run(t testing.TB, programName string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(background(), stepTimeout)
	defer cancel()
	out, err := m.prefix.Run(ctx, programName, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", programName, strings.Join(args, " "), err, out)
	}
	return out
}

func (m *windowsMachine) behave(t testing.TB, mode string) {
	t.Helper()
	if err := m.prefix.Write(behaviour, []byte(mode)); err != nil {
		t.Fatal(err)
	}
}

func (m *windowsMachine) start(t testing.TB) {
	t.Helper()
	eventually(t, "the Windows service is running or can be started", func() bool {
		// Wine believes a dead service to be running until it is asked to start it, so it is always asked.
		_, _ = m.prefix.Run(background(), testService, "start", "-key", endpointKey)
		return m.running(t)
	})
}

func (m *windowsMachine) running(t testing.TB) bool {
	t.Helper()
	return strings.Contains(m.run(t, "sc", "query", endpointKey), "RUNNING")
}

func (m *windowsMachine) awaitRunning(t testing.TB) {
	t.Helper()
	// Wine calls a service that crashed at its start "starting" for a minute or more, and the agent's tries to put one back
	// are then 40 s apart.
	eventuallyWithin(t, 3*longEnough, "the Windows service runs", func() bool { return m.running(t) })
}

func (m *windowsMachine) enroll(t *testing.T, f *fleet, name string) {
	t.Helper()
	m.run(t, agentProgram, "enroll", "--data-dir", agentData, "--server", f.addr, "--token", f.token("lyon"),
		"--plugins", pluginFolder, "--name", name)
}

// TestRealWine: the agent and the plugin, built for Windows, restart a real Windows service through its service control
// manager, for a server on Linux.
func TestRealWine(t *testing.T) {
	f := startFleet(t, "127.0.0.1")
	f.mustCtl("site", "add", "lyon")
	m := newWindowsMachine(t)
	m.enroll(t, f, "win-1")
	startCommand(t, m.prefix.Command(background(), agentProgram, "run", "--data-dir", agentData))
	f.awaitOnline("win-1")
	outcomes(t, f, m, "win-1")
}

// TestRealWineService: the agent itself as a Windows service. When it is uninstalled, it puts back what it has changed for a time.
func TestRealWineService(t *testing.T) {
	f := startFleet(t, "127.0.0.1")
	f.mustCtl("site", "add", "lyon")
	m := newWindowsMachine(t)
	m.enroll(t, f, "win-2")
	m.start(t)

	before := sample.WebConfig(sample.NES, sample.Windows())
	must(t, m.prefix.Write(nesWebConfig, []byte(before)))
	must(t, m.prefix.Write(agentConfig, []byte("roots:\n  nes: 'C:\\nes'\n")))
	m.run(t, agentProgram, "service", "install", "--data-dir", agentData, "--config", agentConfig)
	f.awaitOnline("win-2")
	if out := m.run(t, agentProgram, "service", "status"); !strings.Contains(out, "running") {
		t.Errorf("service status says %q, want running", out)
	}
	f.mustCtl("fix", "ble-restart", "--terminal", "win-2", "--yes", "--param", "stable_for=10s")

	wantTask(t, f.awaitTask(f.ask("raise", "win-2")), succeeded, "")
	m.run(t, agentProgram, "service", "uninstall")
	if got, err := os.ReadFile(m.prefix.Path(nesWebConfig)); err != nil || string(got) != before {
		t.Errorf("after the uninstallation the file whose level was raised for two hours is (%v)\n%s\nwant its earlier bytes\n%s", err, got, before)
	}
	eventually(t, "the agent is offline after its uninstallation", func() bool {
		return !strings.Contains(f.mustCtl("get", "terminals", "-o", "json"), `"online":true`)
	})
	if out, err := m.prefix.Run(background(), agentProgram, "service", "status"); err == nil && strings.Contains(out, "running") {
		t.Errorf("service status says %q after uninstall", out)
	}
}

// agentServiceKey is the name under which `fleet-agent service install` registers the agent.
const agentServiceKey = "bandfleet-agent"

// TestRealWineHost runs the host's conformance suite, built for Windows, on the machine itself.
func TestRealWineHost(t *testing.T) {
	m := newWindowsMachine(t)
	binary := filepath.Join(t.TempDir(), "host.test.exe")
	mustBuild(t, []string{"GOOS=windows", "GOARCH=amd64"}, "go", "test", "-c", "-tags", "realhost", "-o", binary, "./agent/host")
	if err := m.prefix.Copy(binary, `C:\svc\host.test.exe`); err != nil {
		t.Fatal(err)
	}
	// Wine stops a service although others depend on it, so the one test of that is for Windows itself.
	out := m.run(t, "cmd", "/c", `set BANDFLEET_TEST_SERVICES=1&& C:\svc\host.test.exe -test.v -test.timeout 150s -test.skip TestStopNamesTheDependents`)
	for _, suite := range []string{"TestLocalConforms", "TestLocalConformsInEquipment", "TestPFXIsImported"} {
		if !strings.Contains(out, "--- PASS: "+suite+" ") {
			t.Errorf("%s did not pass:\n%s", suite, out)
		}
	}
}

// TestRealWineLogs runs the tests of what follows logs, built for Windows: files that others rename, empty and delete meanwhile.
func TestRealWineLogs(t *testing.T) {
	p, err := wine.Start(background(), cache(t), filepath.Join(t.TempDir(), "wine"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, p.Stop(context.Background())) })
	binary := filepath.Join(t.TempDir(), "logs.test.exe")
	mustBuild(t, []string{"GOOS=windows", "GOARCH=amd64"}, "go", "test", "-c", "-o", binary, "./agent/logs")
	must(t, p.Copy(binary, `C:\svc\logs.test.exe`))
	out, err := p.Run(background(), `C:\svc\logs.test.exe`, "-test.v", "-test.timeout", "8m", "-rapid.checks", "20", "-rapid.nofailfile")
	for _, name := range []string{"TestEachLineOnce", "TestALineIsReported", "TestWritersAreNotKeptFromRotating"} {
		if err != nil || !strings.Contains(out, "--- PASS: "+name+" ") {
			t.Fatalf("%s did not pass (%v):\n%s", name, err, out)
		}
	}
}

func mustBuild(t *testing.T, env []string, command ...string) {
	t.Helper()
	if err := build(env, command...); err != nil {
		t.Fatal(err)
	}
}
