package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

func openShared(t *testing.T, path string) *Shared {
	t.Helper()
	s, err := OpenShared(path)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func journalOf(t *testing.T, s *Shared, agent string) *Journal {
	t.Helper()
	j, err := s.Journal(agent)
	must(t, err)
	return j
}

// The journals of one file must be as separate as those of two machines: the same attempt of a job is another task on each.
func TestSharedJournalsAreSeparate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	s := openShared(t, path)
	a, b := journalOf(t, s, "a"), journalOf(t, s, "b")
	if a.ID() == "" || a.ID() == b.ID() {
		t.Fatalf("identities are %q and %q, want two: the server tells agents' memories apart by them", a.ID(), b.ID())
	}
	task := &agentv1.Task{Key: &agentv1.TaskKey{JobId: "j-1", Attempt: 1}}
	_, known, err := a.Accept(task, time.Now())
	must(t, err)
	if known {
		t.Error("a new task was known")
	}
	must(t, a.RaiseEpoch(7))
	must(t, a.Start(task.GetKey(), time.Now(), "boot"))
	must(t, a.Finish(task.GetKey(), &actionv1.TaskResult{Status: actionv1.TaskStatus_TASK_STATUS_SUCCEEDED}, time.Now()))
	if _, err := b.Task(task.GetKey()); !errors.Is(err, ErrUnknownTask) {
		t.Errorf("the other agent's journal knows the task (%v), want each to have its own", err)
	}
	if epoch, err := b.Epoch(); err != nil || epoch != 0 {
		t.Errorf("the other agent's epoch is %d (%v), want 0", epoch, err)
	}

	id := a.ID()
	must(t, s.Close())
	again := journalOf(t, openShared(t, path), "a")
	if again.ID() != id {
		t.Errorf("after a restart the identity is %q, want %q: the server would take the agent for one that lost its memory", again.ID(), id)
	}
	open, err := again.OpenTasks()
	must(t, err)
	if len(open) != 1 || open[0].GetState() != agentv1.TaskState_TASK_STATE_FINISHED {
		t.Errorf("open tasks after a restart are %v, want the one whose result nobody has acknowledged", open)
	}
}

// Many agents write at once; each gets its own answer, and the writes share commits.
func TestSharedJournalsShareCommits(t *testing.T) {
	s := openShared(t, filepath.Join(t.TempDir(), "journal.db"))
	const agents = 100
	journals := make([]*Journal, agents)
	for i := range journals {
		journals[i] = journalOf(t, s, fmt.Sprint(i))
	}
	before := commits(t, journals[0])
	var all sync.WaitGroup
	for _, j := range journals {
		all.Go(func() {
			if _, known, err := j.Accept(&agentv1.Task{Key: &agentv1.TaskKey{JobId: "j-1", Attempt: 1}}, time.Now()); err != nil || known {
				t.Errorf("accept: known %v, %v: want each agent's own task to be new", known, err)
			}
		})
	}
	all.Wait()
	if n := commits(t, journals[0]) - before; n > agents/2 {
		t.Errorf("%d commits for the writes of %d agents, want them to share: each waits for the disk", n, agents)
	}
	for i, j := range journals {
		if open, err := j.OpenTasks(); err != nil || len(open) != 1 {
			t.Errorf("agent %d: %d open tasks (%v), want its one", i, len(open), err)
		}
	}
}

func TestSharedRefusesAnAgentWithoutName(t *testing.T) {
	s := openShared(t, filepath.Join(t.TempDir(), "journal.db"))
	if _, err := s.Journal(""); err == nil {
		t.Error("an agent without a name got a journal: it would be everybody's")
	}
}

// Whoever opens a transaction on the file itself works beside the journals of a shared one. All goes through write and view.
func TestOnlySharedOpensTransactions(t *testing.T) {
	files, err := filepath.Glob("*.go")
	must(t, err)
	seen := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "shared.go" || file == "commit.go" {
			continue
		}
		text, err := os.ReadFile(file)
		must(t, err)
		seen++
		for _, call := range []string{"commits.do(", "db.Update(", "db.View("} {
			if strings.Contains(string(text), call) {
				t.Errorf("%s calls %s...): use Journal.write or Journal.view, which work on the journal's own part of the file", file, call)
			}
		}
	}
	if seen < 5 {
		t.Fatalf("looked at %d files: this test has moved", seen)
	}
}
