//go:build realhost

package host_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// These tests install, break and remove services of the machine that they run on, as root or administrator: they are built
// only with the tag realhost, and run only when BANDFLEET_TEST_SERVICES=1 says that this machine is for such tests. The test
// program is also the program of the services that it installs. So: `go test -c -tags realhost ./agent/host` (under Wine,
// `-tags realhost,wine`), and run what that builds on the machine.

const (
	fixtureArgument = "fixture-service"
	fixtureExitCode = 7
)

// fixtureService is a service that the tests install.
type fixtureService struct {
	display, key string
	// mode is how its program behaves: normal, hang, crash, die.
	mode string
}

func fixtureServices() map[string]fixtureService {
	return map[string]fixtureService{
		"running":  {"Bandfleet Fixture Running", "BandfleetFixtureRunning", "normal"},
		"stopped":  {"Bandfleet Fixture Stopped", "BandfleetFixtureStopped", "normal"},
		"hangs":    {"Bandfleet Fixture Hangs", "BandfleetFixtureHangs", "hang"},
		"crashes":  {"Bandfleet Fixture Crashes", "BandfleetFixtureCrashes", "crash"},
		"dies":     {"Bandfleet Fixture Dies", "BandfleetFixtureDies", "die"},
		"disabled": {"Bandfleet Fixture Disabled", "BandfleetFixtureDisabled", "normal"},
	}
}

// dieAfter is how long a service of mode die lives.
const dieAfter = time.Second

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == fixtureArgument {
		os.Exit(serveFixture(os.Args[2], os.Args[3]))
	}
	if len(os.Args) > 2 && os.Args[1] == programArgument {
		os.Exit(actAsProgram(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// TestLocalConforms runs the suite on this machine's own services, files and devices.
func TestLocalConforms(t *testing.T) {
	if os.Getenv("BANDFLEET_TEST_SERVICES") != "1" {
		t.Fatal("this test installs and breaks services of this machine: set BANDFLEET_TEST_SERVICES=1 on one that is for that")
	}
	services := fixtureServices()
	installFixtures(t, services)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeOrFail(t, listener) })
	hosttest.Conformance(t, func(t *testing.T) hosttest.Fixture {
		h, err := host.Local(host.LocalConfig{Roots: map[string]string{"files": emptyFolder(t)}})
		if err != nil {
			t.Fatal(err)
		}
		resetFixtures(t, h, services)
		f := hosttest.Fixture{
			Host: h, Running: services["running"].display, Stopped: services["stopped"].display, Hangs: services["hangs"].display,
			Crashes: services["crashes"].display, Dies: services["dies"].display, Disabled: services["disabled"].display,
			ExitCode: fixtureExitCode, FilesRoot: "files", Reachable: listener.Addr().String(), Unreachable: "127.0.0.1:1",
			Missing: map[string]string{"SignIn": "a test cannot sign somebody in"},
		}
		describeMachine(t, &f)
		return f
	})
}

// emptyFolder is t.TempDir, but removed file by file: Wine lacks what os.RemoveAll calls.
func emptyFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "bandfleet") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		entries, err := os.ReadDir(folder)
		for _, entry := range entries {
			err = errors.Join(err, os.Remove(filepath.Join(folder, entry.Name())))
		}
		if err := errors.Join(err, os.Remove(folder)); err != nil {
			t.Error(err)
		}
	})
	return folder
}

func closeOrFail(t *testing.T, c interface{ Close() error }) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// resetFixtures brings the services into the state that the suite expects, whatever the test before left.
func resetFixtures(t *testing.T, h *host.Host, services map[string]fixtureService) {
	t.Helper()
	killUnlessRunning(t, h, services["hangs"].display)
	for _, name := range []string{"running", "hangs"} {
		if err := h.Services.Start(t.Context(), services[name].display); err != nil {
			t.Fatalf("preparing the machine: %v", err)
		}
	}
	for _, name := range []string{"stopped", "dies", "crashes"} {
		if err := h.Services.Stop(t.Context(), services[name].display); err != nil {
			t.Fatalf("preparing the machine: %v", err)
		}
	}
}

func killUnlessRunning(t *testing.T, h *host.Host, name string) {
	t.Helper()
	state, err := h.Services.State(t.Context(), name)
	if err != nil || !state.GetInstalled() {
		t.Fatalf("preparing the machine: State(%q) = %v, %v", name, state, err)
	}
	if state.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_RUNNING {
		return
	}
	if err := h.Services.Kill(t.Context(), name, state.GetPid()); err != nil {
		t.Fatalf("preparing the machine: %v", err)
	}
}
