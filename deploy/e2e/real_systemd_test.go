//go:build real

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/deploy/testhosts/netns"
	"github.com/bandfleet/bandfleet/deploy/testhosts/systemd"
)

// linuxMachine is a booted container in which the endpoint is a systemd unit.
type linuxMachine struct {
	container *systemd.Container
	network   *netns.Namespace
	// shared is a folder that both sides see under the same path.
	shared string
}

// installed is where the container sees the programs. The agent's unit has a /tmp of its own, so they cannot lie there.
const installed = "/opt/bandfleet"

// plugAdapter makes the kernel's tree of USB devices as it is with a BLED112 in a port, in place of the real one.
const plugAdapter = `mount -t tmpfs tmpfs /sys/bus && d=/sys/bus/usb/devices/1-1 && mkdir -p $d/1-1:1.0/tty/ttyACM0 &&
echo 2458 > $d/idVendor && echo 0001 > $d/idProduct && echo Bluegiga > $d/manufacturer && echo "Low Energy Dongle" > $d/product &&
echo 1 > $d/authorized`

// unit is the endpoint as a thin client's vendor would install it. What hangs is killed by systemd after 20 s.
const unit = `[Unit]
Description=%DISPLAY%

[Service]
Type=notify
ExecStart=%SHARED%/testservice run -behaviour %SHARED%/%BEHAVIOUR% -listen=%LISTEN%
TimeoutStopSec=20

[Install]
WantedBy=multi-user.target
`

func newNetwork(t *testing.T, number int) *netns.Namespace {
	t.Helper()
	n, err := netns.New(background(), number)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("remove network namespace: %v", err)
		}
	})
	return n
}

func newLinuxMachine(t *testing.T, number int) *linuxMachine {
	t.Helper()
	m := &linuxMachine{network: newNetwork(t, number), shared: t.TempDir()}
	mustBuild(t, nil, "go", "build", "-trimpath", "-o", m.shared+"/", "./deploy/testhosts/testservice")
	c, err := systemd.Boot(background(), cache(t), m.network, m.shared, programs+":"+installed)
	if err != nil {
		t.Fatal(err)
	}
	m.container = c
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("stop container: %v", err)
		}
	})
	m.install(t)
	return m
}

// install sets the machine up as a thin client with the endpoint and the Nymi Agent.
func (m *linuxMachine) install(t *testing.T) {
	t.Helper()
	m.write(t, "/usr/bin/nbe.toml", nbeTOML)
	m.write(t, "/usr/bin/nbe.default.toml", nbeTOML)
	m.write(t, "/etc/systemd/system/nbed.service", m.unit(endpoint, "behaviour", ""))
	m.write(t, "/etc/systemd/system/nymi-agent.service", m.unit("Nymi Agent", "agent", "127.0.0.1:9120"))
	m.run(t, "/bin/sh", "-c", plugAdapter)
	m.run(t, "systemctl", "daemon-reload")
	m.run(t, "systemctl", "enable", "--now", "nbed", "nymi-agent")
}

func (m *linuxMachine) unit(display, behaviourFile, listen string) string {
	return strings.NewReplacer("%DISPLAY%", display, "%SHARED%", m.shared, "%BEHAVIOUR%", behaviourFile, "%LISTEN%", listen).Replace(unit)
}

func (m *linuxMachine) write(t testing.TB, path, content string) {
	t.Helper()
	if err := m.container.Write(background(), path, content); err != nil {
		t.Fatal(err)
	}
}

func (m *linuxMachine) run(t testing.TB, programName string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(background(), stepTimeout)
	defer cancel()
	out, err := m.container.Run(ctx, programName, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", programName, strings.Join(args, " "), err, out)
	}
	return out
}

func (m *linuxMachine) behave(t testing.TB, mode string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(m.shared, "behaviour"), []byte(mode), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (m *linuxMachine) start(t testing.TB) {
	t.Helper()
	m.run(t, "systemctl", "start", "nbed")
}

func (m *linuxMachine) running() bool {
	out, _ := m.container.Run(background(), "systemctl", "is-active", "nbed")
	return strings.TrimSpace(out) == "active"
}

func (m *linuxMachine) awaitRunning(t testing.TB) {
	t.Helper()
	eventually(t, "the unit is active", m.running)
}

// TestRealSystemd: the agent as a systemd unit, installed by itself, restarts another unit over D-Bus.
func TestRealSystemd(t *testing.T) {
	m := newLinuxMachine(t, 1)
	f := startFleet(t, m.network.Near)
	f.mustCtl("site", "add", "lyon")
	agentProgram, data := installed+"/fleet-agent", "/var/lib/bandfleet-agent"
	m.run(t, agentProgram, "enroll", "--data-dir", data, "--server", f.addr, "--token", f.token("lyon"),
		"--plugins", installed+"/plugins", "--name", "thin-1")
	m.run(t, agentProgram, "service", "install", "--data-dir", data)
	f.awaitOnline("thin-1")
	if out := m.run(t, agentProgram, "service", "status"); !strings.Contains(out, ": active,") {
		t.Errorf("service status says %q, want active", out)
	}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := m.container.Run(background(), "journalctl", "--no-pager", "-u", agentServiceKey)
			t.Log(out)
		}
	})
	outcomes(t, f, m, "thin-1")
	m.run(t, agentProgram, "service", "uninstall")
	if out, err := m.container.Run(background(), "systemctl", "is-active", agentServiceKey); err == nil {
		t.Errorf("the agent's unit is %s after uninstall, want gone", out)
	}
}

// TestRealSystemdHost runs the host's conformance suite on the machine itself.
func TestRealSystemdHost(t *testing.T) {
	m := newLinuxMachine(t, 2)
	binary := filepath.Join(m.shared, "host.test")
	mustBuild(t, nil, "go", "test", "-c", "-tags", "realhost", "-o", binary, "./agent/host")
	out := m.run(t, "/usr/bin/env", "BANDFLEET_TEST_SERVICES=1", binary, "-test.v", "-test.timeout", "150s")
	if !strings.Contains(out, "--- PASS: TestLocalConforms ") || !strings.Contains(out, "--- PASS: TestLocalConformsInEquipment ") {
		t.Errorf("the conformance suite did not pass:\n%s", out)
	}
}
