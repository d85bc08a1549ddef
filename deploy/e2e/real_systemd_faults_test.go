//go:build real

package e2e

import (
	"strconv"
	"strings"
	"testing"
)

// faultyLinux is a Linux machine whose cable may be cut.
type faultyLinux struct{ *linuxMachine }

// thinProfiles is where the machine's maker keeps the users' folders.
const thinProfiles = "/srv/profiles"

// TestRealSystemdFaults: faults of a Linux machine are found and remedied, with the real systemd; the line is cut and not the server ended.
func TestRealSystemdFaults(t *testing.T) {
	m := &faultyLinux{newLinuxMachine(t, 5)}
	f := startFleet(t, m.network.Near)
	f.mustCtl("site", "add", "lyon")
	m.linuxMachine.write(t, linuxAgentConfig, "logs:\n  profiles: "+thinProfiles+"\n")
	writeLogs(t, m)
	const name, data = "thin-5", "/var/lib/thin-5"
	m.run(t, linuxAgent, "enroll", "--data-dir", data, "--server", f.addr, "--token", f.token("lyon"), "--plugins", installed+"/plugins", "--name", name)
	m.run(t, linuxAgent, "service", "install", "--name", name, "--data-dir", data, "--config", linuxAgentConfig)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := m.container.Run(background(), "journalctl", "--no-pager", "-u", name)
			t.Log(out)
		}
	})
	f.awaitOnline(name)
	(&loop{fleet: f, t: t, machine: m, terminal: name}).run()
}

func (m *faultyLinux) pid(t testing.TB) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(m.run(t, "systemctl", "show", "--property", "MainPID", "--value", "nbed")))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func (m *faultyLinux) die(t testing.TB) {
	t.Helper()
	m.run(t, "systemctl", "kill", "--signal", "KILL", "nbed")
}

func (m *faultyLinux) away(t testing.TB) {
	t.Helper()
	if err := m.network.Cut(background()); err != nil {
		t.Fatal(err)
	}
}

func (m *faultyLinux) back(t testing.TB) {
	t.Helper()
	if err := m.network.Restore(background()); err != nil {
		t.Fatal(err)
	}
}

func thinLog(user string) string {
	return thinProfiles + "/" + user + "/AppData/Roaming/Nymi/NEM/Logs/nem.log"
}

func (m *faultyLinux) write(t testing.TB, user string, content []byte) {
	t.Helper()
	m.linuxMachine.write(t, thinLog(user), string(content))
}

// shell runs a script with the log of a user as its first parameter.
func (m *faultyLinux) shell(t testing.TB, user, script string, more ...string) {
	t.Helper()
	m.run(t, "/bin/sh", append([]string{"-euc", script, "sh", thinLog(user)}, more...)...)
}

func (m *faultyLinux) add(t testing.TB, user string, content []byte) {
	t.Helper()
	m.shell(t, user, `printf %s "$2" >> "$1"`, string(content))
}

func (m *faultyLinux) rotate(t testing.TB, user string) {
	t.Helper()
	m.shell(t, user, `mv "$1" "${1%.log}.1.log"`)
}

func (m *faultyLinux) empty(t testing.TB, user string) {
	t.Helper()
	m.shell(t, user, `: > "$1"`)
}

func (m *faultyLinux) drown(t testing.TB, user string, size int) {
	t.Helper()
	m.shell(t, user, `yes "$2" | head -c "$3" >> "$1"; echo >> "$1"`, strings.TrimSpace(quiet), strconv.Itoa(size))
}
