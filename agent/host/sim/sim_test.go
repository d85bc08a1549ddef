package sim_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/host/sim"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"go.uber.org/goleak"
)

// TestMain is also the main of the services' processes: they are this program, started again.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "sim" && os.Args[2] == "service" {
		os.Exit(sim.ServiceMain(os.Args[3:]))
	}
	if len(os.Args) > 2 && os.Args[1] == "switch-certificates" {
		os.Exit(switchMain(os.Args[2]))
	}
	if len(os.Args) > 2 && os.Args[1] == "reboot-and-wait" {
		os.Exit(rebootMain(os.Args[2]))
	}
	goleak.VerifyTestMain(m)
}

// newTerminal makes a simulated terminal whose processes end with the test.
func newTerminal(t *testing.T, o sim.Options) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "terminal")
	if err := sim.Init(dir, o); err != nil {
		t.Fatalf("Init = %v, want a terminal", err)
	}
	t.Cleanup(func() {
		if err := sim.Shutdown(dir); err != nil {
			t.Errorf("Shutdown = %v: processes may be left over", err)
		}
	})
	return dir
}

func open(t *testing.T, dir string) *host.Host {
	t.Helper()
	h, err := sim.Open(dir)
	if err != nil {
		t.Fatalf("Open = %v, want a host", err)
	}
	return h
}

func set(t *testing.T, dir string, args ...string) {
	t.Helper()
	if err := sim.Set(dir, args...); err != nil {
		t.Fatalf("Set %q = %v, want success", args, err)
	}
}

type shown struct {
	Services []struct {
		Name, Status, Behaviour string
		PID                     uint32
		Since                   time.Time
	}
	Adapter      string
	NBETomlPath  string `json:"nbe_toml_path"`
	AgentAddress string `json:"agent_address"`
}

func show(t *testing.T, dir string) shown {
	t.Helper()
	content, err := sim.Show(dir)
	if err != nil {
		t.Fatalf("Show = %v, want the state", err)
	}
	var s shown
	if err := json.Unmarshal(content, &s); err != nil {
		t.Fatalf("Show = %s: %v; want JSON", content, err)
	}
	return s
}

func TestSimConforms(t *testing.T) {
	dir := newTerminal(t, sim.Options{Services: []string{"stopped", "hangs", "crashes", "dies", "disabled"}})
	closed := closedAddress(t)
	hosttest.Conformance(t, func(t *testing.T) hosttest.Fixture {
		set(t, dir, "service", host.EndpointService, "running")
		set(t, dir, "service", "stopped", "stopped")
		set(t, dir, "service", "hangs", "normal")
		set(t, dir, "service", "hangs", "stopped")
		set(t, dir, "service", "hangs", "running")
		set(t, dir, "service", "hangs", "hang-on-stop")
		set(t, dir, "service", "crashes", "stopped")
		set(t, dir, "service", "crashes", "crash-on-start")
		set(t, dir, "service", "dies", "stopped")
		set(t, dir, "service", "dies", "die-after=500ms")
		set(t, dir, "service", "disabled", "stopped")
		set(t, dir, "service", "disabled", "disabled")
		set(t, dir, "adapter", "present")
		emptyEndpoint(t, dir)
		return hosttest.Fixture{
			Host: open(t, dir), Running: host.EndpointService, Stopped: "stopped", Hangs: "hangs", Crashes: "crashes", Dies: "dies",
			Disabled: "disabled", ExitCode: sim.ExitCode, FilesRoot: host.EndpointRoot, Adapter: true,
			Reachable: show(t, dir).AgentAddress, Unreachable: closed, Registry: true,
			SignIn: func(t *testing.T, user string, activity actionv1.UserActivity) { signIn(t, dir, user, activity) },
		}
	})
}

// signIn uses the words of `fleet-agent sim set`.
func signIn(t *testing.T, dir, user string, activity actionv1.UserActivity) {
	t.Helper()
	text := strings.ToLower(strings.TrimPrefix(activity.String(), "USER_ACTIVITY_"))
	if text == "unspecified" {
		text = "none"
	}
	if err := sim.Set(dir, "user", user, text); err != nil {
		t.Fatal(err)
	}
}

// emptyEndpoint removes the endpoint's files, which the suite wants an empty folder instead of.
func emptyEndpoint(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "endpoint", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

func closedAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	}()
	return listener.Addr().String()
}
