package hosttest

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
)

// shortWait is the deadline of calls that are expected to run into it.
const shortWait = 400 * time.Millisecond

func testNotInstalled(t *testing.T, f Fixture) {
	const name = "No Such Service of Any Machine"
	ctx := within(t, longWait)
	state, err := f.Host.Services.State(ctx, name)
	if err != nil || state.GetInstalled() || state.GetService() != name {
		t.Errorf("State = %v, %v; want the name asked for and not installed, without an error", state, err)
	}
	for verb, err := range map[string]error{
		"Stop":  f.Host.Services.Stop(ctx, name),
		"Start": f.Host.Services.Start(ctx, name),
		"Kill":  f.Host.Services.Kill(ctx, name, 1),
	} {
		wantError(t, verb, err, host.ErrNotInstalled, strconv.Quote(name))
	}
}

func testRunning(t *testing.T, f Fixture) {
	before := f.state(t, f.Running)
	if before.GetStatus() != running || before.GetPid() == 0 || before.GetKey() == "" || before.GetService() != f.Running {
		t.Fatalf("State = %v, want running, with process, key and the name asked for", before)
	}
	if after := f.mustStart(t, f.Running); after.GetPid() != before.GetPid() {
		t.Errorf("Start of a running service gave process %d instead of %d: it must leave it alone", after.GetPid(), before.GetPid())
	}
}

func testRestart(t *testing.T, f Fixture) {
	before := f.state(t, f.Running)
	f.mustStop(t, f.Running)
	f.mustStop(t, f.Running) // already stopped is success
	if after := f.mustStart(t, f.Running); after.GetPid() == before.GetPid() {
		t.Errorf("process %d before and after: a restart must show as another process", after.GetPid())
	}
}

func testStartStopped(t *testing.T, f Fixture) {
	if state := f.state(t, f.Stopped); state.GetStatus() != stopped || state.GetPid() != 0 {
		t.Fatalf("State = %v, want stopped without a process", state)
	}
	f.mustStart(t, f.Stopped)
}

func testStartedAtOnce(t *testing.T, f Fixture) {
	ctx := within(t, longWait)
	errs := make([]error, 4)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = f.Host.Services.Start(ctx, f.Stopped) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Errorf("Start by several at once = %v, want success for all", err)
	}
	first := f.state(t, f.Stopped)
	if again := f.mustStart(t, f.Stopped); again.GetPid() != first.GetPid() {
		t.Errorf("process %d, then %d: starting at once must give one process", first.GetPid(), again.GetPid())
	}
}

func testKill(t *testing.T, f Fixture) {
	before := f.state(t, f.Running)
	if err := f.Host.Services.Kill(within(t, longWait), f.Running, before.GetPid()); err != nil {
		t.Fatalf("Kill = %v, want success", err)
	}
	if state := f.state(t, f.Running); state.GetStatus() != stopped {
		t.Errorf("after Kill: %v, want stopped: Kill waits for that", state)
	}
	f.mustStart(t, f.Running)
}

func testKillOthers(t *testing.T, f Fixture) {
	before := f.state(t, f.Running)
	for _, pid := range []uint32{0, uint32(os.Getpid()), before.GetPid() + 1} {
		err := f.Host.Services.Kill(within(t, longWait), f.Running, pid)
		wantError(t, "Kill of process "+strconv.Itoa(int(pid)), err, host.ErrNotOwnProcess, strconv.Quote(f.Running))
	}
	if after := f.state(t, f.Running); after.GetPid() != before.GetPid() || after.GetStatus() != running {
		t.Errorf("state went from %v to %v: a refused kill must touch nothing", before, after)
	}
}

func testKillStopped(t *testing.T, f Fixture) {
	if err := f.Host.Services.Kill(within(t, longWait), f.Stopped, uint32(os.Getpid())); err != nil {
		t.Errorf("Kill of a stopped service = %v, want success: there is nothing left to kill", err)
	}
}

func testHangs(t *testing.T, f Fixture) {
	before := f.state(t, f.Hangs)
	err := f.Host.Services.Stop(within(t, shortWait), f.Hangs)
	wantError(t, "Stop", err, host.ErrTimeout, strconv.Quote(f.Hangs))
	after := f.state(t, f.Hangs)
	if after.GetStatus() == stopped || after.GetPid() != before.GetPid() {
		t.Fatalf("after a Stop that hangs: %v, want not stopped, with process %d", after, before.GetPid())
	}
	if err := f.Host.Services.Kill(within(t, longWait), f.Hangs, before.GetPid()); err != nil {
		t.Fatalf("Kill of a service that hangs = %v, want success", err)
	}
	if state := f.state(t, f.Hangs); state.GetStatus() != stopped {
		t.Errorf("after Kill: %v, want stopped", state)
	}
	if again := f.mustStart(t, f.Hangs); again.GetPid() == before.GetPid() {
		t.Errorf("process %d before the kill and after the start: want another", again.GetPid())
	}
}

func testStopCancelled(t *testing.T, f Fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(shortWait, cancel)
	err := f.Host.Services.Stop(ctx, f.Hangs)
	wantError(t, "Stop", err, context.Canceled, strconv.Quote(f.Hangs))
	if errors.Is(err, host.ErrTimeout) {
		t.Errorf("Stop = %v: a cancelled wait must not look like a service that hangs", err)
	}
}

func testCrashes(t *testing.T, f Fixture) {
	err := f.Host.Services.Start(within(t, longWait), f.Crashes)
	wantError(t, "Start", err, host.ErrEnded, strconv.Quote(f.Crashes))
	code := strconv.FormatInt(f.ExitCode, 10)
	if err != nil && !strings.Contains(err.Error(), code) {
		t.Errorf("Start = %v, want the exit code %s in it: support needs it", err, code)
	}
	if state := f.state(t, f.Crashes); state.GetStatus() == running || state.GetExitCode() != f.ExitCode {
		t.Errorf("after the crash: %v, want not running, exit code %s", state, code)
	}
}

func testDies(t *testing.T, f Fixture) {
	f.mustStart(t, f.Dies)
	err := host.Poll(within(t, longWait), 50*time.Millisecond, func() (bool, error) {
		state, err := f.Host.Services.State(t.Context(), f.Dies)
		return state.GetStatus() != running, err
	})
	if err != nil {
		t.Fatalf("waiting for the service to die: %v; State must notice", err)
	}
	if state := f.state(t, f.Dies); state.GetPid() != 0 || state.GetExitCode() != f.ExitCode {
		t.Errorf("after its death: %v, want no process, exit code %d", state, f.ExitCode)
	}
}

func testDisabled(t *testing.T, f Fixture) {
	if state := f.state(t, f.Disabled); !state.GetDisabled() || state.GetStatus() != stopped {
		t.Errorf("State = %v, want disabled and stopped", state)
	}
	err := f.Host.Services.Start(within(t, longWait), f.Disabled)
	wantError(t, "Start", err, host.ErrDisabled, strconv.Quote(f.Disabled))
	if state := f.state(t, f.Disabled); state.GetStatus() != stopped {
		t.Errorf("after a refused start: %v, want stopped", state)
	}
}

// wantError checks that err is the wanted one and names the object.
func wantError(t *testing.T, call string, err, want error, object string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want the error %q", call, err, want)
		return
	}
	if !strings.Contains(err.Error(), object) {
		t.Errorf("%s = %v, want %s named in it", call, err, object)
	}
}
