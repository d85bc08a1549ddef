package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
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
	if code := fix.awaitExit(); code != 3 {
		t.Errorf("fix ended with exit code %d, want 3: the outcome is not known\n%s", code, fix.log)
	}
	c.check(crashPoint{want: unknown, begun: 1})
}

// TestAgentJournalRolledBack: the agent comes back with an older copy of its own journal, as after the restoring of a machine's
// snapshot, which does not know the task that the server was told was started.
func TestAgentJournalRolledBack(t *testing.T) {
	t.Parallel()
	c := newCrash(t, "", "before deed")
	c.agent.process.signal(syscall.SIGTERM)
	c.agent.process.awaitExit()
	older, err := os.ReadFile(c.agent.journal())
	must(t, err)
	c.agent.start()
	c.fleet.awaitOnline("line-1")

	fix := startCommand(t, c.fixCommand("one-shot"))
	c.awaitDeath()
	must(t, os.WriteFile(c.agent.journal(), older, 0o600))
	c.revive()
	if code := fix.awaitExit(); code != 3 {
		t.Errorf("fix ended with exit code %d, want 3: the outcome is not known\n%s", code, fix.log)
	}
	c.check(crashPoint{want: unknown, begun: 1})
}

func (a *agent) journal() string { return filepath.Join(a.dataDir, "journal.db") }

// fixing asks for the job without waiting and returns its id.
func (f *fleet) fixing(c *crash, kind string) string {
	f.t.Helper()
	return f.fix("fault-"+kind, "--site", "lyon", "--param", "tag=only", "--param", "record="+c.records)
}
