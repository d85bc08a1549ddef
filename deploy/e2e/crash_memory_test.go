package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// TestServerRestoredFromBackup: the backup is from before the task was handed over, and the task has run since. The restored
// server asks the agent and starts nothing: the result that the agent has is the one that counts.
func TestServerRestoredFromBackup(t *testing.T) {
	t.Parallel()
	c := newCrash(t, "", "")
	backup := filepath.Join(t.TempDir(), "monday.db")
	c.agent.stop()
	waiting := c.fleet.fixing(c, "one-shot")
	c.fleet.mustCtl("backup", "--out", backup)
	c.agent.start()
	if task := c.fleet.awaitTask(waiting); task.GetStatus() != succeeded {
		t.Fatalf("status %v, want SUCCEEDED before anything is restored", task.GetStatus())
	}
	c.fleet.server.kill()
	mustRun(t, program("fleetd"), "restore", "--data-dir", c.fleet.dataDir, "--from", backup, "--replace")
	c.fleet.start()
	c.fleet.awaitOnline("line-1")
	c.check(crashPoint{want: succeeded, begun: 1, starts: 1})
}

// TestAgentJournalLost: the agent dies with a task in its hands and comes back without its memory. Nobody knows what became of
// the task, so nobody says that they do, and it is not started again.
func TestAgentJournalLost(t *testing.T) {
	t.Parallel()
	c := newCrash(t, "", "before deed")
	fix := startCommand(t, c.fixCommand("one-shot"))
	c.awaitDeath()
	must(t, os.Remove(c.agent.journal()))
	c.revive()
	c.checkForgotten(fix, "its agent has lost its journal and made another", 0)
}

// TestAgentJournalRolledBack: the agent comes back with an older copy of its own journal, as after the restoring of a machine's
// snapshot, which does not know the task that it has begun. It makes no difference whether the server has lived through it, nor when the
// copy was taken, as long as that was before the session or the server was told of the start.
func TestAgentJournalRolledBack(t *testing.T) {
	const forgotten = "its agent's journal was rolled back"
	for name, meanwhile := range map[string]func(c *crash){
		"the server lives":           func(*crash) {},
		"the server is killed":       func(c *crash) { c.fleet.server.kill(); c.fleet.start() },
		"the server is stopped":      func(c *crash) { c.fleet.server.signal(syscall.SIGTERM); c.fleet.server.awaitExit(); c.fleet.start() },
		"the server is killed twice": func(c *crash) { c.fleet.server.kill(); c.fleet.start(); c.fleet.server.kill(); c.fleet.start() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrash(t, "", "before deed")
			c.agent.stop()
			older, err := os.ReadFile(c.agent.journal())
			must(t, err)
			c.agent.start()
			c.fleet.awaitOnline("line-1")

			fix := startCommand(t, c.fixCommand("one-shot"))
			c.awaitDeath()
			meanwhile(c)
			must(t, os.WriteFile(c.agent.journal(), older, 0o600))
			c.revive()
			c.checkForgotten(fix, forgotten, 0)
		})
	}
}

// TestAgentJournalRolledBackAfterTheJob: nothing is open any more, and the copy is from before the job: the terminal comes into quarantine
// all the same, for the agent no longer knows that it has done it.
func TestAgentJournalRolledBackAfterTheJob(t *testing.T) {
	t.Parallel()
	c := newCrash(t, "", "")
	c.agent.stop()
	older, err := os.ReadFile(c.agent.journal())
	must(t, err)
	c.agent.start()
	c.fleet.awaitOnline("line-1")
	if task := c.fleet.awaitTask(c.fleet.fixing(c, "one-shot")); task.GetStatus() != succeeded {
		t.Fatalf("status %v, want SUCCEEDED before anything is rolled back", task.GetStatus())
	}
	c.agent.stop()
	must(t, os.WriteFile(c.agent.journal(), older, 0o600))
	c.agent.start()
	c.checkQuarantine("its agent's journal was rolled back", 1)
}

// checkForgotten wants the outcome of the only task to be UNKNOWN, the action begun once, and the terminal in quarantine.
func (c *crash) checkForgotten(fix *process, why string, starts int) {
	c.t.Helper()
	if code := fix.awaitExit(); code != 3 {
		c.t.Errorf("fix ended with exit code %d, want 3: the outcome is not known\n%s", code, fix.log)
	}
	task := c.fleet.awaitTask(c.job())
	wantOneAttempt(c.t, task)
	if task.GetStatus() != unknown {
		c.t.Errorf("status %v (%s), want UNKNOWN", task.GetStatus(), task.GetResult().GetReason())
	}
	c.checkRecords(crashPoint{begun: 1, starts: starts})
	c.checkQuarantine(why, 1)
	c.checkAudit(task)
}

// checkQuarantine wants the terminal in quarantine, in which nothing is started, until it is released. So often the action was begun before.
func (c *crash) checkQuarantine(why string, before int) {
	c.t.Helper()
	eventually(c.t, "line-1 is in quarantine because "+why, func() bool {
		var shown fleetv1.Terminal
		unmarshal(c.t, c.fleet.mustCtl("get", "terminal", "line-1", "-o", "json"), &shown)
		return shown.GetQuarantine().GetReason() == why && shown.GetOnline()
	})
	if shown := c.fleet.mustCtl("get", "terminals", "-s", "state=quarantined"); !strings.Contains(shown, "quarantined") {
		c.t.Errorf("the list does not show the quarantine:\n%s", shown)
	}
	next := c.fleet.fixing(c, "repeatable")
	eventually(c.t, "the next job waits for the release", func() bool {
		wait := c.fleet.onlyTask(next).GetWait()
		return wait.GetReason() == fleetv1.WaitReason_WAIT_REASON_FROZEN && strings.Contains(wait.GetDetail(), "fleetctl terminal release T-0001")
	})
	c.agent.stop()
	c.agent.start()
	c.fleet.awaitOnline("line-1")
	if n := len(begun(c.t, c.records, "line-1")); n != before {
		c.t.Errorf("the action was begun %d times, want %d: nothing is started in quarantine, nor in another session", n, before)
	}
	c.fleet.mustCtl("terminal", "release", "line-1", "--reason", "looked at it")
	if task := c.fleet.awaitTask(next); task.GetStatus() != succeeded {
		c.t.Errorf("after the release the next job ended with %v (%s), want SUCCEEDED", task.GetStatus(), task.GetResult().GetReason())
	}
	if n := len(begun(c.t, c.records, "line-1")); n != before+1 {
		c.t.Errorf("the action was begun %d times, want %d: the release starts what waited and nothing else", n, before+1)
	}
}

func (a *agent) journal() string { return filepath.Join(a.dataDir, "journal.db") }

// fixing asks for the job without waiting and returns its id.
func (f *fleet) fixing(c *crash, kind string) string {
	f.t.Helper()
	return f.fix("fault-"+kind, "--site", "lyon", "--param", "tag=only", "--param", "record="+c.records)
}
