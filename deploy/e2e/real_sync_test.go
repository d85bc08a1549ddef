//go:build real

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/bandfleet/bandfleet/deploy/faults/syscalls"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

const (
	// syncDelay is how much longer each sync takes: long beside everything else that happens for one job.
	syncDelay = 150 * time.Millisecond
	// ping is more bytes than HTTP/2 needs for its own purposes in one write, TLS included, and less than any message of ours.
	ping = 80
)

// TestRealSyncBeforeAnswer: the server answers the creation of a job when everything that was written for it is on its disk, by
// the order of its system calls.
func TestRealSyncBeforeAnswer(t *testing.T) {
	trace := filepath.Join(t.TempDir(), "trace")
	f := tracedFleet(t, trace)
	f.mustCtl("site", "add", "lyon")
	a := &agent{t: t, name: "line-1", dataDir: filepath.Join(t.TempDir(), "agent"), machine: filepath.Join(t.TempDir(), "machine")}
	mustRun(t, program("fleet-agent"), "sim", "init", a.machine)
	t.Cleanup(func() { mustRun(t, program("fleet-agent"), "sim", "stop", a.machine) })
	// It is never online, so nothing follows the creation.
	f.enrol(a, f.addr, "lyon", "plugins")
	api := dialOperator(t, f.context())
	if _, err := api.Access.WhoAmI(context.Background(), &fleetv1.WhoAmIRequest{}); err != nil {
		t.Fatal(err)
	}

	asked := time.Now()
	_, err := api.Jobs.CreateJob(context.Background(), &fleetv1.CreateJobRequest{RequestId: ulid.Make().String(), Spec: &fleetv1.JobSpec{
		Action: "ble-restart", Selection: &fleetv1.Selection{Terminals: []string{"line-1"}},
	}})
	answered := time.Now()
	if err != nil {
		t.Fatal(err)
	}
	f.server.signal(os.Interrupt)
	f.server.awaitExit()

	calls := readTrace(t, trace)
	last := asked
	commits := between(syscalls.Commits(calls, "store.db"), asked, answered)
	for _, c := range commits {
		if !c.Done(answered) {
			t.Errorf("a commit that began %v after the question was not on disk at the answer, %v after it", c.Begun.Sub(asked), answered.Sub(asked))
		}
		last = c.Ended
	}
	if len(commits) == 0 {
		t.Error("nothing was committed between question and answer")
	}
	if early := syscalls.Sent(calls, ping, asked, last); len(early) > 0 {
		t.Errorf("the server wrote %v before the last sync ended at %v", early, last)
	}
	if answers := syscalls.Sent(calls, ping, last, answered); len(answers) == 0 {
		t.Error("no write to a socket after the last sync: the trace does not show the answer")
	}
}

// TestRealSyncOfAResult follows one task through both programs: nothing is begun before STARTED is on the agent's disk, nothing is
// sent while a commit is under way, and the result is acknowledged when it is on the server's.
func TestRealSyncOfAResult(t *testing.T) {
	b, err := mortal()
	must(t, err)
	traces := [2]string{filepath.Join(t.TempDir(), "server"), filepath.Join(t.TempDir(), "agent")}
	f := tracedFleet(t, traces[0])
	f.build.dir = b.dir
	f.mustCtl("site", "add", "lyon")
	c := &crash{t: t, fleet: f, records: t.TempDir()}
	c.agent = f.newAgent("lyon", "line-1")
	c.agent.stop()
	c.agent.under = syscalls.Options(traces[1], syncDelay)
	c.agent.start()
	f.awaitOnline("line-1")

	asked := time.Now()
	mustSucceed(t, c.fixCommand("one-shot"))
	done := time.Now()
	eventually(t, "the agent has noted the acknowledgement", func() bool {
		commits := syscalls.Commits(readSoFar(t, traces[1]), "journal.db")
		last := commits[len(commits)-1]
		return last.Ended.After(done) || time.Since(done) > 10*syncDelay
	})
	c.agent.stop()
	f.server.signal(os.Interrupt)
	f.server.awaitExit()

	agentCalls := readTrace(t, traces[1])
	journal := between(syscalls.Commits(agentCalls, "journal.db"), asked, time.Now())
	if len(journal) < 4 {
		t.Fatalf("the agent made %d commits, want at least those of ACCEPTED, STARTED, the result and its acknowledgement", len(journal))
	}
	for _, commit := range journal {
		if commit.Ended.IsZero() {
			t.Fatalf("a commit of the journal that began at %v was never on disk", commit.Begun)
		}
		if early := syscalls.Sent(agentCalls, ping, commit.Begun, commit.Ended); len(early) > 0 {
			t.Errorf("the agent sent %v while a commit was under way, which ended at %v", early, commit.Ended)
		}
	}
	checkBegunAfterSync(t, c, journal)

	result, acknowledged := journal[len(journal)-2], journal[len(journal)-1]
	stored := false
	for _, commit := range between(syscalls.Commits(readTrace(t, traces[0]), "store.db"), result.Ended, acknowledged.Begun) {
		stored = stored || commit.Done(acknowledged.Begun)
	}
	if !stored {
		t.Error("the agent noted an acknowledgement of a result that the server had not committed after it was journalled")
	}
}

// checkBegunAfterSync: at the moment at which the action began, by its own record, the journal was on disk.
func checkBegunAfterSync(t *testing.T, c *crash, journal []syscalls.Commit) {
	t.Helper()
	l := &ledger{t: t, records: c.records}
	begun := l.readMachine(c.agent).begun["only"]
	if len(begun) != 1 {
		t.Fatalf("the action was begun at %v, want once", begun)
	}
	before := 0
	for _, commit := range journal {
		if commit.Begun.Before(begun[0]) && !commit.Done(begun[0]) {
			t.Errorf("the action was begun %v before a commit of the journal had ended", commit.Ended.Sub(begun[0]))
		}
		if commit.Done(begun[0]) {
			before++
		}
	}
	if before < 2 {
		t.Errorf("%d commits of the journal were on disk when the action began, want at least those of ACCEPTED and STARTED", before)
	}
}

func tracedFleet(t *testing.T, trace string) *fleet {
	t.Helper()
	f := &fleet{t: t, dataDir: filepath.Join(t.TempDir(), "server"), addr: freeAddress(t, "127.0.0.1"), under: syscalls.Options(trace, syncDelay)}
	f.start()
	return f
}

// between returns the commits that began in a time.
func between(commits []syscalls.Commit, from, to time.Time) []syscalls.Commit {
	var in []syscalls.Commit
	for _, c := range commits {
		if !c.Begun.Before(from) && c.Begun.Before(to) {
			in = append(in, c)
		}
	}
	return in
}

// readTrace reads the trace of a program that has ended, once the tracer has written all of it.
func readTrace(t *testing.T, path string) []syscalls.Call {
	t.Helper()
	size := int64(-1)
	eventually(t, "the trace is complete", func() bool {
		info, err := os.Stat(path)
		must(t, err)
		same := info.Size() == size
		size = info.Size()
		return same
	})
	return readSoFar(t, path)
}

func readSoFar(t *testing.T, path string) []syscalls.Call {
	t.Helper()
	file, err := os.Open(path)
	must(t, err)
	defer file.Close()
	calls, err := syscalls.Read(file)
	must(t, err)
	return calls
}
