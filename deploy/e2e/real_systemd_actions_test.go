//go:build real

package e2e

import (
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/sample"
)

// The two terminals of the one Linux machine, and the service of each one's agent.
const (
	thinClient, thinHost = "thin-line", "thin-nes"
	linuxAgentConfig     = "/etc/bandfleet/agent.yaml"
	linuxWebConfig       = "/srv/nes/web.config"
)

// linuxFleet is a server and one Linux machine with two agents as systemd units: a user terminal's and a NES host's.
type linuxFleet struct {
	*fleet
	machine *linuxMachine
	nes     *nesServer
}

func newLinuxFleet(t *testing.T, number int) *linuxFleet {
	m := newLinuxMachine(t, number)
	f := &linuxFleet{fleet: startFleet(t, m.network.Near), machine: m, nes: serveNESOn(t, m.network.Near)}
	f.mustCtl("site", "add", "lyon")
	f.mustCtl("site", "set", "lyon", "--nes-host", thinHost+"="+f.nes.url, "--known-host", "sql="+m.network.Near+":9")
	m.write(t, linuxAgentConfig, "roots:\n  nes: /srv/nes\n")
	m.write(t, linuxWebConfig, sample.WebConfig(sample.NES, sample.Windows()))
	f.install(thinClient, roleTerminal)
	f.install(thinHost, roleNESHost)
	return f
}

// install enrols an agent and makes it a service, which has the terminal's name.
func (f *linuxFleet) install(name, role string) {
	f.t.Helper()
	data := "/var/lib/" + name
	f.machine.run(f.t, linuxAgent, "enroll", "--data-dir", data, "--server", f.addr, "--token", f.tokenFor("lyon", role),
		"--plugins", installed+"/drills", "--name", name)
	f.machine.run(f.t, linuxAgent, "service", "install", "--name", name, "--data-dir", data, "--config", linuxAgentConfig)
	f.awaitOnline(name)
}

const linuxAgent = installed + "/fleet-agent"

// TestRealSystemdActions: the product's actions on a Linux machine, where agents are services with the rights that their units leave them.
func TestRealSystemdActions(t *testing.T) {
	f := newLinuxFleet(t, 4)
	with := func(check func(*testing.T, *linuxFleet)) func(*testing.T) {
		return func(t *testing.T) { check(t, f) }
	}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := f.machine.container.Run(background(), "journalctl", "--no-pager", "-u", thinClient, "-u", thinHost)
			t.Log(out)
		}
	})
	t.Run("nbe.toml among the programs keeps all its other bytes", with(thinNBESet))
	t.Run("a diagnosis says what it cannot tell", with(thinDiagnosed))
	t.Run("network and trust are told apart", with(thinProbed))
	t.Run("the adapter is switched off and on", with(thinAdapterCycled))
	t.Run("what Linux lacks is refused in words", with(thinLacks))
	t.Run("a change for a time ends with the service", with(leaseEndsWithTheService))
}

func thinNBESet(t *testing.T, f *linuxFleet) {
	const before = "# tuned by Ada\n\nown_key   = 'x'  # keep\r\nrssi_tap_threshold = 0\t# off\n" + `agent_url = "ws://127.0.0.1:9120/socket/websocket"` + "\n"
	f.machine.write(t, "/usr/bin/nbe.toml", before)
	task := f.awaitTask(f.ask("nbe-config-set", thinClient, "rssi_tap_threshold=-42", "stable_for=10s"))
	wantTask(t, task, succeeded, "")
	if got, want := f.machine.run(t, "cat", "/usr/bin/nbe.toml"), strings.Replace(before, "= 0\t", "= -42\t", 1); got != want {
		t.Errorf("nbe.toml is %q\nwant           %q", got, want)
	}
	wantRestarted(t, task)
	if kept := f.machine.run(t, "sh", "-c", "cat /usr/bin/nbe.toml.*.bak"); kept != before {
		t.Errorf("what is kept holds %q, want the earlier bytes", kept)
	}
}

func thinDiagnosed(t *testing.T, f *linuxFleet) {
	wantFindings(t, f.awaitTask(f.ask("diagnose", thinClient)), "GOOD service-endpoint", "GOOD service-nymi-agent", "GOOD adapter", "GOOD nbe-tap-threshold",
		"GOOD agent-url-reachable", "UNKNOWN nes-url", "UNKNOWN usb-suspend")
}

func thinProbed(t *testing.T, f *linuxFleet) {
	wantFindings(t, f.awaitTask(f.ask("net-probe", thinClient, "targets=nes,sql")), "GOOD nes-connect", "PROBLEM nes-trust", "PROBLEM sql-connect")
}

func thinAdapterCycled(t *testing.T, f *linuxFleet) {
	wantTask(t, f.awaitTask(f.ask("ble-adapter-cycle", thinClient, "stable_for=10s")), succeeded, "")
}

func thinLacks(t *testing.T, f *linuxFleet) {
	wantTask(t, f.awaitTask(f.ask("nes-url-set", thinClient, "url="+f.nes.url)), refused, "registry")
	wantTask(t, f.awaitTask(f.ask("usb-suspend-disable", thinClient)), refused, "power")
	wantTask(t, f.awaitTask(f.ask("verbose-logging", thinHost, "state=on", "ttl=2h")), refused, "this terminal has no IIS")
}

// leaseEndsWithTheService: nobody would be there to put the level back at its time.
func leaseEndsWithTheService(t *testing.T, f *linuxFleet) {
	before := f.machine.run(t, "cat", linuxWebConfig)
	wantTask(t, f.awaitTask(f.ask("raise", thinHost)), succeeded, "")
	if raised := f.machine.run(t, "cat", linuxWebConfig); raised == before {
		t.Fatal("the file is as it was although the level was raised for two hours")
	}
	f.machine.run(t, linuxAgent, "service", "uninstall", "--name", thinHost)
	if got := f.machine.run(t, "cat", linuxWebConfig); got != before {
		t.Errorf("after the uninstallation the file is\n%s\nwant its earlier bytes\n%s", got, before)
	}
	if out, err := f.machine.container.Run(background(), "systemctl", "is-active", thinHost); err == nil {
		t.Errorf("the agent's unit is %s after uninstall, want gone", out)
	}
}
