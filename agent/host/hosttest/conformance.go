package hosttest

import (
	"context"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Fixture is a machine made ready for the suite, and what on it the suite may use. An implementation that cannot offer
// something says so, with the reason, in Missing: the suite fails when a thing is neither offered nor declared missing.
type Fixture struct {
	Host *host.Host
	// Display names of services, in these states when the fixture is handed over.
	Running  string // runs, healthy
	Stopped  string // stopped, healthy
	Hangs    string // runs, and does not stop when asked to
	Crashes  string // stopped; every start ends with ExitCode before it runs
	Dies     string // stopped; ends with ExitCode within 10 s of each start
	Disabled string // stopped, and may never start
	// ExitCode of Crashes and Dies.
	ExitCode int64
	// FilesRoot names a root whose folder is empty and may be written to.
	FilesRoot string
	// Adapter is true when exactly one adapter (host.AdapterVendor, host.AdapterProduct) is present.
	Adapter bool
	// Reachable and Unreachable are addresses ("host:port") that answer and that refuse.
	Reachable, Unreachable string
	// SignIn has a person be signed in and do something, or be gone (USER_ACTIVITY_UNSPECIFIED).
	SignIn func(t *testing.T, user string, activity actionv1.UserActivity)
	// NoUsers is true when the machine has nobody to ask who is signed in. Its call must answer host.ErrNotSupported then.
	NoUsers bool
	// Registry is true when the machine has one. Otherwise its calls must answer host.ErrNotSupported.
	Registry bool
	// Missing are the things above that this implementation cannot offer, by field name, with the reason.
	Missing map[string]string
}

// longWait bounds what should take far less: a failure, not a measure of speed.
const longWait = 20 * time.Second

// Conformance runs the suite. fixture is called for each test and returns a machine in the described state.
func Conformance(t *testing.T, fixture func(t *testing.T) Fixture) {
	t.Helper()
	suite := []struct {
		name  string
		needs string
		test  func(*testing.T, Fixture)
	}{
		{"service/not installed", "", testNotInstalled},
		{"service/running", "Running", testRunning},
		{"service/restart", "Running", testRestart},
		{"service/start stopped", "Stopped", testStartStopped},
		{"service/started by several at once", "Stopped", testStartedAtOnce},
		{"service/kill", "Running", testKill},
		{"service/kill only its own process", "Running", testKillOthers},
		{"service/kill stopped", "Stopped", testKillStopped},
		{"service/hangs on stop", "Hangs", testHangs},
		{"service/stop cancelled", "Hangs", testStopCancelled},
		{"service/crashes on start", "Crashes", testCrashes},
		{"service/dies", "Dies", testDies},
		{"service/disabled", "Disabled", testDisabled},
		{"service/watch", "Running", testWatch},
		{"service/watch one that dies", "Dies", testWatchDeath},
		{"service/watch beside readers", "Running", testWatchBesideReaders},
		{"files/life of a file", "FilesRoot", testFile},
		{"files/read limit", "FilesRoot", testReadLimit},
		{"files/not there", "FilesRoot", testNoFile},
		{"files/refused paths", "FilesRoot", testRefusedPaths},
		{"files/written by several at once", "FilesRoot", testWrittenAtOnce},
		{"devices/adapter", "Adapter", testAdapter},
		{"devices/absent", "", testNoDevice},
		{"network/reachable", "Reachable", testReachable},
		{"network/unreachable", "Unreachable", testUnreachable},
		{"network/bad address", "", testBadAddress},
		{"registry", "", testRegistry},
		{"system", "", testSystem},
		{"users/sessions", "", testSessions},
		{"users/signed in", "SignIn", testSignedIn},
	}
	for _, c := range suite {
		t.Run(c.name, func(t *testing.T) {
			f := fixture(t)
			if f.offers(t, c.needs) {
				c.test(t, f)
			}
		})
	}
}

// offers says whether the fixture has what a test needs, and fails the test when that is not declared either way.
func (f Fixture) offers(t *testing.T, field string) bool {
	t.Helper()
	offered := map[string]bool{
		"": true, "Running": f.Running != "", "Stopped": f.Stopped != "", "Hangs": f.Hangs != "", "Crashes": f.Crashes != "",
		"Dies": f.Dies != "", "Disabled": f.Disabled != "", "FilesRoot": f.FilesRoot != "", "Adapter": f.Adapter,
		"Reachable": f.Reachable != "", "Unreachable": f.Unreachable != "", "SignIn": f.SignIn != nil,
	}[field]
	reason, missing := f.Missing[field]
	if offered == missing {
		t.Fatalf("fixture field %s: offered is %v and declared missing is %v; each must be exactly one of them", field, offered, missing)
	}
	if missing {
		t.Logf("not offered by this implementation: %s: %s", field, reason)
	}
	return offered
}

// state reads a service that must be there.
func (f Fixture) state(t *testing.T, name string) *actionv1.ServiceState {
	t.Helper()
	state, err := f.Host.Services.State(t.Context(), name)
	if err != nil || !state.GetInstalled() {
		t.Fatalf("State(%q) = %v, %v; want an installed service", name, state, err)
	}
	return state
}

// mustStop and mustStart do what must work, and return the state after.
func (f Fixture) mustStop(t *testing.T, name string) {
	t.Helper()
	if err := f.Host.Services.Stop(within(t, longWait), name); err != nil {
		t.Fatalf("Stop(%q) = %v, want success", name, err)
	}
	if state := f.state(t, name); state.GetStatus() != stopped || state.GetPid() != 0 {
		t.Fatalf("after Stop(%q): %v, want stopped without a process: Stop waits for that", name, state)
	}
}

func (f Fixture) mustStart(t *testing.T, name string) *actionv1.ServiceState {
	t.Helper()
	if err := f.Host.Services.Start(within(t, longWait), name); err != nil {
		t.Fatalf("Start(%q) = %v, want success", name, err)
	}
	state := f.state(t, name)
	if state.GetStatus() != running || state.GetPid() == 0 {
		t.Fatalf("after Start(%q): %v, want running with a process: Start waits for that", name, state)
	}
	return state
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
