//go:build real

package e2e

import (
	"testing"

	"github.com/bandfleet/bandfleet/deploy/testhosts/netns"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// TestRealCutInOneDirection: while a machine works, the packets of one side vanish and those of the other arrive; then all arrive
// again. Still the one result of the one attempt arrives, and the service was restarted once.
func TestRealCutInOneDirection(t *testing.T) {
	for name, direction := range map[string]netns.Direction{"up": netns.Up, "down": netns.Down} {
		t.Run(name, func(t *testing.T) {
			network := newNetwork(t, 10+int(direction))
			f := startFleet(t, network.Near)
			f.mustCtl("site", "add", "lyon")
			a := f.newRemoteAgent(t, network.Command, "lyon", "line-1")

			job := f.fix("ble-restart", "--terminal", "line-1", "--param", "stable_for=10s")
			eventually(t, "the endpoint was restarted", func() bool { return len(a.starts()) == 2 })
			must(t, network.Lose(background(), direction))
			eventually(t, "the server sees that the terminal is gone", func() bool { return !f.online("line-1") })
			must(t, network.Find(background(), direction))

			task := f.awaitTask(job)
			wantOneAttempt(t, task)
			if task.GetStatus() != actionv1.TaskStatus_TASK_STATUS_SUCCEEDED {
				t.Errorf("status %v (%s), want SUCCEEDED: only the line was cut", task.GetStatus(), task.GetResult().GetReason())
			}
			if n := len(a.starts()); n != 2 {
				t.Errorf("the endpoint was started %d times, want once by the job", n-1)
			}
		})
	}
}
