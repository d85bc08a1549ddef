//go:build real

package e2e

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// cache is where the slow parts of the test hosts are kept between runs.
func cache(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("BANDFLEET_TESTHOSTS")
	if dir == "" {
		t.Fatal("BANDFLEET_TESTHOSTS is not set: run `make test-real`, which sets it and installs what is needed")
	}
	return dir
}

// machine is a real machine with an agent, online, and a service that misbehaves on demand.
type machine interface {
	// behave sets what the endpoint does from now on.
	behave(t testing.TB, mode string)
	// start asks the operating system to start the endpoint; one that runs is left alone.
	start(t testing.TB)
	// awaitRunning waits until the endpoint's service runs, as the operating system's own tool says.
	awaitRunning(t testing.TB)
}

// outcomes runs every outcome of a restart that the product must tell apart, on one machine.
func outcomes(t *testing.T, f *fleet, m machine, terminal string) {
	fix := func(params ...string) []string {
		args := []string{"ble-restart", "--terminal", terminal, "--param", "stable_for=10s"}
		for _, p := range params {
			args = append(args, "--param", p)
		}
		return args
	}
	cases := []struct {
		name, mode string
		fix        []string
		want       actionv1.TaskStatus
	}{
		{"restarts", "normal", fix(), succeeded},
		{"hangs on stop", "hang-on-stop", fix("stop_timeout=5s"), failed},
		{"hangs on stop and is killed", "hang-on-stop", fix("stop_timeout=5s", "force_kill=true"), succeeded},
		{"crashes at start", "crash-on-start", fix("start_timeout=5s"), failed},
		{"dies in its settling time", "die-after=5s", fix(), failed},
		{"restarts after all that", "normal", fix(), succeeded},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m.behave(t, "normal")
			m.start(t)
			m.awaitRunning(t)
			m.behave(t, c.mode)
			task := f.awaitTask(f.fix(c.fix...))
			if got := task.GetStatus(); !told(got, c.want) {
				t.Errorf("status %v (%s), want %v\n%v", got, task.GetResult().GetReason(), c.want, task.GetResult())
			}
			wantOneAttempt(t, task)
			// Whatever happened: as soon as the service can run, the agent sees to it that it does. One that dies by itself later
			// than its task is another matter.
			m.behave(t, "normal")
			if !strings.HasPrefix(c.mode, "die-after") {
				m.awaitRunning(t)
			}
		})
	}
}

// told says whether a status tells the truth of an outcome. A failure may also be told as a failure to put things back.
func told(got, want actionv1.TaskStatus) bool {
	if want == actionv1.TaskStatus_TASK_STATUS_FAILED {
		return got == want || got == actionv1.TaskStatus_TASK_STATUS_ROLLBACK_FAILED
	}
	return got == want
}

// nbeTOML is the endpoint's configuration on the real machines, as the vendor's default has it.
const nbeTOML = "agent_url = \"ws://127.0.0.1:9120/socket/websocket\"\nrssi_window_tap = 10\nrssi_tap_threshold = -42\n"

// stepTimeout bounds one program on a real machine: whatever takes longer hangs.
const stepTimeout = 3 * time.Minute

// background is the context of what outlives one step of a test.
func background() context.Context { return context.Background() }

// commander prepares a program on some machine.
type commander func(ctx context.Context, program string, args ...string) *exec.Cmd
