package e2e

import (
	"os"
	"path/filepath"
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// newClockedFleet starts a server whose clock is ahead of the machine's by what the file says that is returned.
func newClockedFleet(t *testing.T) (f *fleet, clock string) {
	t.Helper()
	b, err := mortal()
	must(t, err)
	clock = filepath.Join(t.TempDir(), "clock")
	f = &fleet{
		t: t, dataDir: filepath.Join(t.TempDir(), "server"), addr: freeAddress(t, "127.0.0.1"), build: b,
		env: []string{clockVariable + "=" + clock},
	}
	f.start()
	return f, clock
}

// TestServerClockJumps: the server's clock jumps a year ahead while one job runs and another waits, and then two years back, after
// which the server is started again. What runs ends with its agent's own result, what waited expires, jobs asked for after that run,
// nothing is begun twice, and the store stays sound.
func TestServerClockJumps(t *testing.T) {
	t.Parallel()
	f, clock := newClockedFleet(t)
	f.mustCtl("site", "add", "lyon")
	records := t.TempDir()
	working, away := f.newAgent("lyon", "line-1"), f.newAgent("lyon", "line-2")
	away.stop()
	ask := func(terminal, tag string) string {
		t.Helper()
		return f.fix("fault-one-shot", "--terminal", terminal, "--param", "tag="+tag, "--param", "record="+records, "--param", "stable_for=5s")
	}

	waits, runs := ask("line-2", "waits"), ask("line-1", "runs")
	eventually(t, "the one job runs", func() bool { return len(begun(t, records, "line-1")) == 1 })
	must(t, os.WriteFile(clock, []byte("8760h"), 0o600))
	ahead := ask("line-1", "ahead")
	away.start()
	wantStatus(t, f.awaitTask(waits), actionv1.TaskStatus_TASK_STATUS_EXPIRED)
	// What the server itself said of it meanwhile gives way to the agent's word.
	eventually(t, "the job that ran has its agent's result", func() bool { return f.onlyTask(runs).GetStatus() == succeeded })
	wantStatus(t, f.awaitTask(ahead), succeeded)

	// Agents learn the server's time when a session begins, and judge by it: what they are given between the jump back and the next
	// session has expired for them, and is not begun.
	must(t, os.WriteFile(clock, []byte("-8760h"), 0o600))
	wantStatus(t, f.awaitTask(ask("line-1", "too early")), actionv1.TaskStatus_TASK_STATUS_EXPIRED)
	f.server.kill()
	f.start()
	wantStatus(t, f.awaitTask(ask("line-1", "back")), succeeded)
	wantStatus(t, f.awaitTask(ask("line-2", "back")), succeeded)
	if got := begun(t, records, "line-1"); len(got) != 3 {
		t.Errorf("line-1 has begun %v, want each of its three jobs once", got)
	}
	if got := begun(t, records, "line-2"); len(got) != 1 {
		t.Errorf("line-2 has begun %v, want only the job that had not expired", got)
	}
	wantRunning(t, working)
	wantRunning(t, away)
	f.server.signal(os.Interrupt)
	f.server.awaitExit()
	mustRun(t, program("fleetd"), "check", "--data-dir", f.dataDir)
}

func wantStatus(t *testing.T, task *fleetv1.Task, want actionv1.TaskStatus) {
	t.Helper()
	if task.GetStatus() != want {
		t.Errorf("task on %s: status %v (%s), want %v", task.GetTerminalName(), task.GetStatus(), task.GetResult().GetReason(), want)
	}
}
