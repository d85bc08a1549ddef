package sim_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/sim"
)

// rebootMain is a process that has the machine start anew, as an agent does, and waits for what becomes of it.
func rebootMain(dir string) int {
	h, err := sim.Open(dir)
	if err == nil {
		err = h.System.Reboot(context.Background(), 100*time.Millisecond, "people are told")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	time.Sleep(time.Minute) // it is killed long before, or the test fails
	return 0
}

func TestRebootEndsTheAgentThatAskedForIt(t *testing.T) {
	dir := newTerminal(t, sim.Options{})
	set(t, dir, "reboot", "ends-agent")
	before := show(t, dir).Services[0].PID
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "reboot-and-wait", dir)
	if output, err := cmd.CombinedOutput(); err == nil || ctx.Err() != nil || cmd.ProcessState.ExitCode() != -1 {
		t.Errorf("the process that asked: %v, %s; want it killed: the machine ends it", err, output)
	}
	awaitCondition(t, "the machine is up again", func() bool {
		s := show(t, dir).Services
		return s[0].Status == "running" && s[0].PID != before && s[1].Status == "running" && showNES(t, dir).Boots == 1
	})
}
