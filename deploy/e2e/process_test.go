package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program in the background. It is ended, and its end awaited, when the test ends.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	log   *lockedBuffer
	ended chan struct{}
}

// startCommand starts a program in the background. Its output is shown when the test fails.
func startCommand(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, log: &lockedBuffer{}, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	// What a killed program leaves behind may hold its pipes open.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // how it ended is in ProcessState
		close(p.ended)
	}()
	t.Cleanup(p.cleanUp)
	return p
}

func (p *process) cleanUp() {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		p.t.Errorf("%s does not end on SIGTERM", filepath.Base(p.cmd.Path))
		p.signal(syscall.SIGKILL)
		<-p.ended
	}
	if p.t.Failed() {
		p.t.Logf("output of %s:\n%s", p.cmd, p.log)
	}
}

// kill ends the program as a power cut would, and waits for its end.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.ended
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("%s: %v", p.cmd, err)
	}
}

// mustRun fails the test when the program has ended.
func (p *process) mustRun() {
	p.t.Helper()
	select {
	case <-p.ended:
		p.t.Fatalf("%s has ended: %v\n%s", p.cmd, p.cmd.ProcessState, p.log)
	default:
	}
}

// awaitExit waits for the program's own end and returns its exit code.
func (p *process) awaitExit() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(longEnough):
		p.t.Fatalf("%s is still running after %v\n%s", p.cmd, longEnough, p.log)
	}
	return p.cmd.ProcessState.ExitCode()
}

// eventually polls until a condition holds. It observes; it never assumes that some time is enough.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	eventuallyWithin(t, longEnough, what, holds)
}

func eventuallyWithin(t testing.TB, patience time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v it is still not so that %s", patience, what)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// lockedBuffer is a bytes.Buffer that a running program may still write to.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func itoa(n int) string { return strconv.Itoa(n) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustSucceed(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if o := runProgram(t, cmd); o.code != 0 {
		t.Fatalf("%s: %v", cmd, o)
	}
}
