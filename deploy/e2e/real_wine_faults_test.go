//go:build real

package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// faultyWindows is a Windows machine whose server is a program that may be ended.
type faultyWindows struct {
	*windowsMachine
	fleet *fleet
	whole *testing.T
}

// TestRealWineFaults: faults of a Windows machine are found and remedied, with a real service manager and a real file system.
func TestRealWineFaults(t *testing.T) {
	f := startFleet(t, "127.0.0.1")
	f.mustCtl("site", "add", "lyon")
	m := &faultyWindows{newWindowsMachine(t), f, t}
	m.start(t)
	writeLogs(t, m)
	m.enroll(t, f, "win-4")
	startCommand(t, m.prefix.Command(background(), agentProgram, "run", "--data-dir", agentData))
	f.awaitOnline("win-4")
	(&loop{fleet: f, t: t, machine: m, terminal: "win-4"}).run()
}

// pid is the process as this machine sees it. Wine's own tools believe a service that died to be running.
func (m *faultyWindows) pid(t testing.TB) int {
	t.Helper()
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if pid, err := strconv.Atoi(filepath.Base(folder)); err == nil && m.isEndpoint(folder) {
			return pid
		}
	}
	return 0
}

// isEndpoint says whether a process is the endpoint's, of this machine. One that is ending has no command line.
func (m *faultyWindows) isEndpoint(folder string) bool {
	command, err := os.ReadFile(filepath.Join(folder, "cmdline"))
	if err != nil || !strings.Contains(string(command), "testservice") || !strings.Contains(string(command), "\x00run\x00-key\x00"+endpointKey+"\x00") {
		return false
	}
	environment, err := os.ReadFile(filepath.Join(folder, "environ"))
	return err == nil && strings.Contains(string(environment), "WINEPREFIX="+filepath.Dir(m.prefix.Path(`C:\`))+"\x00")
}

func (m *faultyWindows) die(t testing.TB) {
	t.Helper()
	if err := syscall.Kill(m.pid(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func (m *faultyWindows) away(testing.TB) { m.fleet.server.kill() }

// back starts the server for the steps that follow, too.
func (m *faultyWindows) back(testing.TB) {
	step := m.fleet.t
	m.fleet.t = m.whole
	defer func() { m.fleet.t = step }()
	m.fleet.start()
}

func profileLog(user string) string {
	return `C:\Users\` + user + `\AppData\Roaming\Nymi\NEM\Logs\nem.log`
}

func (m *faultyWindows) write(t testing.TB, user string, content []byte) {
	t.Helper()
	if err := m.prefix.Write(profileLog(user), content); err != nil {
		t.Fatal(err)
	}
}

func (m *faultyWindows) add(t testing.TB, user string, content []byte) {
	t.Helper()
	file, err := os.OpenFile(m.prefix.Path(profileLog(user)), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Write(content); err != nil {
		t.Fatal(err)
	}
}

// rotate renames by Windows' own means, which fail where another program keeps the file to itself.
func (m *faultyWindows) rotate(t testing.TB, user string) {
	t.Helper()
	m.run(t, "cmd", "/c", "ren", profileLog(user), "nem.1.log")
}

func (m *faultyWindows) empty(t testing.TB, user string) {
	t.Helper()
	m.run(t, "cmd", "/c", "copy", "/y", "nul", profileLog(user))
	if state, err := os.Stat(m.prefix.Path(profileLog(user))); err != nil || state.Size() != 0 {
		t.Fatalf("the log of %s is not empty: %v, %v", user, state, err)
	}
}

func (m *faultyWindows) drown(t testing.TB, user string, size int) {
	t.Helper()
	m.add(t, user, []byte(strings.Repeat(quiet, size/len(quiet))))
}
