//go:build real

package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// diskSize is that of the disks that are filled: enough for a store or a journal, and soon full.
const diskSize = "size=4m"

// disk is a small file system of its own.
type disk struct {
	t   *testing.T
	dir string
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{t, t.TempDir()}
	must(t, syscall.Mount("tmpfs", d.dir, "tmpfs", 0, diskSize))
	t.Cleanup(func() { must(t, syscall.Unmount(d.dir, 0)) })
	return d
}

func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// fill writes until nothing more fits.
func (d *disk) fill() {
	d.t.Helper()
	f, err := os.Create(d.ballast())
	must(d.t, err)
	defer f.Close()
	for page := make([]byte, os.Getpagesize()); err == nil; {
		_, err = f.Write(page)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		d.t.Fatalf("filling the disk: %v, want that it is full", err)
	}
}

func (d *disk) empty() { must(d.t, os.Remove(d.ballast())) }

// TestRealServerDiskFull: the server's disk is full when a result comes. It says so, takes no new job, and does not acknowledge the
// result; when there is room again, the result is there, and nothing was done twice.
func TestRealServerDiskFull(t *testing.T) {
	b, err := mortal()
	must(t, err)
	d := newDisk(t)
	f := &fleet{t: t, dataDir: filepath.Join(d.dir, "server"), addr: freeAddress(t, "127.0.0.1"), build: b}
	f.start()
	f.mustCtl("site", "add", "lyon")
	c := &crash{t: t, fleet: f, agent: f.newAgent("lyon", "line-1"), records: t.TempDir()}

	job := f.fix("fault-one-shot", "--site", "lyon", "--param", "tag=only", "--param", "record="+c.records, "--param", "stable_for=5s")
	eventually(t, "the action has begun", func() bool { return len(begun(t, c.records, "line-1")) == 1 })
	d.fill()
	f.useUp()
	o := f.ctl("fix", "fault-probe", "--site", "lyon", "--yes", "--no-wait", "--param", "tag=other", "--param", "record="+c.records)
	if o.code == 0 || o.code == 6 || !strings.Contains(o.stderr, "disk") {
		t.Errorf("a job for a server without room: %v\nwant a refusal that names the disk", o)
	}
	eventually(t, "the server says that it cannot store the result", func() bool {
		return strings.Contains(f.server.log.String(), "the store refuses writes")
	})
	if task := f.onlyTask(job); task.GetResult() != nil {
		t.Errorf("the server has the result %v, which it cannot have stored", task.GetResult())
	}
	d.empty()
	c.check(crashPoint{want: succeeded, begun: 1, starts: 1})
}

// useUp has the server write until the free pages of its store are used: only then it needs the disk.
func (f *fleet) useUp() {
	f.t.Helper()
	for n := range 500 {
		if o := f.ctl("site", "add", "filler-"+itoa(n)); o.code != 0 {
			return
		}
	}
	f.t.Fatal("500 sites were written on a full disk: it is not the server's")
}

// TestRealAgentDiskFull: the agent's disk is full, and tasks come until its journal has no page left to write to. Then nothing more
// is begun; when there is room again, and the agent runs again if it had ended, every task has its one result, and the result is true.
func TestRealAgentDiskFull(t *testing.T) {
	b, err := mortal()
	must(t, err)
	d := newDisk(t)
	f := &fleet{t: t, dataDir: filepath.Join(t.TempDir(), "server"), addr: freeAddress(t, "127.0.0.1"), build: b}
	f.start()
	f.mustCtl("site", "add", "lyon")
	a := &agent{t: t, name: "line-1", dataDir: filepath.Join(d.dir, "agent"), machine: filepath.Join(t.TempDir(), "machine"), build: b}
	mustRun(t, program("fleet-agent"), "sim", "init", a.machine)
	t.Cleanup(func() { mustRun(t, program("fleet-agent"), "sim", "stop", a.machine) })
	f.enrol(a, f.addr, "lyon", "plugins")
	a.start()
	f.awaitOnline("line-1")
	l := &ledger{t: t, api: dialOperator(t, f.context()), records: t.TempDir()}

	d.fill()
	full := func() bool { return strings.Contains(a.process.log.String(), "no space left") }
	for n := 0; !full(); n++ {
		if n == 30 {
			t.Fatalf("%d tasks were journalled on a full disk: it is not the agent's", n)
		}
		l.jobs = append(l.jobs, &asked{tag: "job-" + itoa(n), kind: "one-shot", targets: []string{"line-1"}})
		l.create(l.jobs[n])
		eventually(t, "the task is done or cannot be journalled", func() bool { return full() || l.open() == "" })
	}
	d.empty()
	// What the agent said of its disk may have been its last words, and it may not have ended yet.
	eventually(t, "every task is done", func() bool { a.startIfEnded(); return l.open() == "" })
	l.check([]*member{{agent: a}})
}

// startIfEnded starts an agent that has ended, as a service manager does.
func (a *agent) startIfEnded() {
	a.t.Helper()
	select {
	case <-a.process.ended:
		a.start()
	default:
	}
}
