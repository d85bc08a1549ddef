package hosttest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// absent is a service that no machine has.
const absent = "No Such Service of Any Machine"

// watched is a watch under way.
type watched struct {
	t       *testing.T
	changes chan *actionv1.ServiceState
	cancel  context.CancelFunc
	ended   chan error
}

func (f Fixture) watch(t *testing.T, names ...string) *watched {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watched{t: t, changes: make(chan *actionv1.ServiceState, 100), cancel: cancel, ended: make(chan error, 1)}
	go func() {
		w.ended <- f.Host.Services.Watch(ctx, names, func(s *actionv1.ServiceState) {
			select {
			case w.changes <- s:
			default: // the test fails for what it waits for
			}
		})
	}()
	t.Cleanup(cancel)
	return w
}

// await waits for a change that is as wanted, and says how long it took.
func (w *watched) await(what string, wanted func(*actionv1.ServiceState) bool) time.Duration {
	w.t.Helper()
	begun := time.Now()
	timeout := time.NewTimer(longWait)
	defer timeout.Stop()
	for {
		select {
		case s := <-w.changes:
			if wanted(s) {
				return time.Since(begun)
			}
		case err := <-w.ended:
			w.t.Fatalf("Watch = %v while waiting for: %s", err, what)
		case <-timeout.C:
			w.t.Fatalf("Watch does not tell: %s", what)
		}
	}
}

// end ends it.
func (w *watched) end() {
	w.t.Helper()
	w.cancel()
	select {
	case err := <-w.ended:
		if !errors.Is(err, context.Canceled) {
			w.t.Errorf("Watch = %v after its context was cancelled, want that", err)
		}
	case <-time.After(longWait):
		w.t.Fatal("Watch goes on after its context has ended")
	}
}

func is(name string, status actionv1.ServiceStatus) func(*actionv1.ServiceState) bool {
	return func(s *actionv1.ServiceState) bool { return s.GetService() == name && s.GetStatus() == status }
}

func testWatch(t *testing.T, f Fixture) {
	w := f.watch(t, f.Running, absent)
	seen := map[string]bool{}
	w.await("the state of each at its beginning", func(s *actionv1.ServiceState) bool {
		seen[s.GetService()] = s.GetInstalled()
		return len(seen) == 2
	})
	if !seen[f.Running] || seen[absent] {
		t.Errorf("told as installed: %v; want %q alone", seen, f.Running)
	}
	f.mustStop(t, f.Running)
	w.await("it is stopped", is(f.Running, stopped))
	first := f.mustStart(t, f.Running)
	w.await("it runs again", is(f.Running, running))
	if err := f.Host.Services.Kill(within(t, longWait), f.Running, first.GetPid()); err != nil {
		t.Fatalf("Kill = %v, want success", err)
	}
	w.await("its process was killed", is(f.Running, stopped))
	again := f.mustStart(t, f.Running)
	w.await("it runs as another process", func(s *actionv1.ServiceState) bool {
		return s.GetService() == f.Running && s.GetPid() == again.GetPid()
	})
	w.end()
}

func testWatchDeath(t *testing.T, f Fixture) {
	w := f.watch(t, f.Dies)
	f.mustStart(t, f.Dies)
	w.await("it has died, with its exit code", func(s *actionv1.ServiceState) bool {
		return s.GetStatus() != running && s.GetExitCode() == f.ExitCode
	})
	w.end()
}

// testWatchBesideReaders: while services are watched they are read all the time, and no call may disturb another.
func testWatchBesideReaders(t *testing.T, f Fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	for range 3 {
		readers.Go(func() {
			for ctx.Err() == nil {
				if _, err := f.Host.Services.State(ctx, f.Running); err != nil && ctx.Err() == nil {
					t.Errorf("State = %v beside a watch, want the state", err)
					return
				}
				pause(ctx, 10*time.Millisecond)
			}
		})
	}
	w := f.watch(t, f.Running, absent)
	for range 3 {
		f.mustStop(t, f.Running)
		w.await("it is stopped", is(f.Running, stopped))
		f.mustStart(t, f.Running)
		w.await("it runs again", is(f.Running, running))
	}
	w.end()
}

// pause waits, at most until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
