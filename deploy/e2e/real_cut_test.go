//go:build real

package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// TestRealCutInMidJob: the cable between machine and server is unplugged while the machine works, and plugged in again when
// it is done. No packet says that the peer is gone; still the one result of the one attempt arrives.
func TestRealCutInMidJob(t *testing.T) {
	network := newNetwork(t, 3)
	f := startFleet(t, network.Near)
	f.mustCtl("site", "add", "lyon")
	a := f.newRemoteAgent(t, network.Command, "lyon", "line-1")
	before := a.endpoint()

	job := f.fix("ble-restart", "--terminal", "line-1", "--param", "stable_for=10s")
	eventually(t, "the endpoint was restarted", func() bool {
		s := a.endpoint()
		return s.Status == "running" && s.PID != before.PID
	})
	must(t, network.Cut(background()))
	restarted := a.endpoint()
	eventually(t, "the server sees that the terminal is gone", func() bool {
		return !strings.Contains(strings.ReplaceAll(f.mustCtl("get", "terminals", "-o", "json"), " ", ""), `"online":true`)
	})
	must(t, network.Restore(background()))

	task := f.awaitTask(job)
	wantOneAttempt(t, task)
	if task.GetStatus() != actionv1.TaskStatus_TASK_STATUS_SUCCEEDED {
		t.Errorf("status %v (%s), want SUCCEEDED: only the line was cut", task.GetStatus(), task.GetResult().GetReason())
	}
	if s := a.endpoint(); s.Status != "running" || s.PID != restarted.PID {
		t.Errorf("endpoint is %+v, want it running as %+v: it is restarted once, not again after the cut", s, restarted)
	}
}

// newRemoteAgent is newAgent on a machine that is reached by a cable of its own.
func (f *fleet) newRemoteAgent(t *testing.T, command commander, site, name string) *agent {
	t.Helper()
	dir := t.TempDir()
	a := &agent{t: t, name: name, dataDir: filepath.Join(dir, "agent"), machine: filepath.Join(dir, "machine")}
	remote := func(args ...string) *exec.Cmd { return command(background(), program("fleet-agent"), args...) }
	mustSucceed(t, remote("sim", "init", a.machine))
	t.Cleanup(func() { mustSucceed(t, remote("sim", "stop", a.machine)) })
	mustSucceed(t, remote("enroll", "--data-dir", a.dataDir, "--server", f.addr, "--token", f.token(site),
		"--plugins", program("plugins"), "--name", name, "--host", "sim:"+a.machine))
	a.process = startCommand(t, remote("run", "--data-dir", a.dataDir, "--host", "sim:"+a.machine))
	f.awaitOnline(name)
	return a
}
