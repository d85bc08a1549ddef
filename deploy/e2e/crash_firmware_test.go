package e2e

import (
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const fetchTool = "firmware-log-tool"

// TestFirmwareFetchKilledAnywhere kills the agent before and after each thing that is done for a band's log. When it is back, the endpoint runs,
// and no file is delivered of which it is not known that this run brought it.
func TestFirmwareFetchKilledAnywhere(t *testing.T) {
	for point, want := range map[string]actionv1.TaskStatus{
		"before deed": failed, "after deed": failed, "before tool": unknown, "after tool": unknown, "before finish": succeeded, "after finish": succeeded,
	} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			c := newCrash(t, "", point)
			job := c.fetch("10m")
			c.awaitDeath()
			c.revive()
			task := c.fleet.awaitTask(job)
			wantOneAttempt(t, task)
			if task.GetStatus() != want {
				t.Errorf("status %v (%s), want %v", task.GetStatus(), task.GetResult().GetReason(), want)
			}
			wantRunning(t, c.agent)
			if n := len(task.GetResult().GetArtifacts()); (n == 1) != (want == succeeded) {
				t.Errorf("%d files are delivered with status %v, want one with success and none without", n, task.GetStatus())
			}
		})
	}
}

// TestToolThatHangsIsEnded: the vendor's tool does not end in its time. It is ended with what it has started, and the endpoint runs again. The
// part of a file that it wrote is of this run, which has failed, and is not delivered as new in the next one.
func TestToolThatHangsIsEnded(t *testing.T) {
	t.Parallel()
	c := newCrash(t, "", "")
	c.agent.sim("tool", fetchTool, "hang")
	task := c.fleet.awaitTask(c.fetch("1m"))
	if files := task.GetResult().GetArtifacts(); task.GetStatus() != failed || len(files) != 1 || files[0].GetSize() != 100 {
		t.Errorf("status %v with %v, want FAILED with the part that was written: it may tell why", task.GetStatus(), files)
	}
	wantRunning(t, c.agent)
	c.agent.sim("tool", fetchTool, "works")
	task = c.fleet.awaitTask(c.fetch("1m"))
	if files := task.GetResult().GetArtifacts(); task.GetStatus() != succeeded || len(files) != 1 || files[0].GetSize() != 4096 {
		t.Errorf("the next run: status %v (%s) and %v, want it to succeed with the one whole file that it brought", task.GetStatus(), task.GetResult().GetReason(), files)
	}
}

// fetch starts the fetching of a band's log, in which the tool may take so long, and confirms it. It returns the job.
func (c *crash) fetch(timeout string) string {
	c.t.Helper()
	job := c.fleet.fix("firmware-logs-fetch", "--terminal", "line-1", "--param", "band_serial=AAAH-00125", "--param", "timeout="+timeout, "--param", "stable_for=10s")
	eventually(c.t, "the person is asked", func() bool { return c.fleet.onlyTask(job).GetQuestion() != nil })
	c.fleet.mustCtl("job", "confirm", job, "line-1")
	return job
}
