package e2e

import (
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// TestServerKilledInMidJob: the server dies while the machine verifies, and comes back. The operator's command, which was
// waiting all the time, still ends with the one result of the one attempt.
func TestServerKilledInMidJob(t *testing.T) {
	t.Parallel()
	f := startFleet(t, "127.0.0.1")
	f.mustCtl("site", "add", "lyon")
	a := f.newAgent("lyon", "line-1")
	before := a.endpoint()

	fix := startCommand(t, f.ctlCommand("fix", "ble-restart", "--site", "lyon", "--yes", "--param", "stable_for=10s"))
	job := awaitRestarted(t, f, a, before.PID)
	f.server.kill()
	f.start()

	if code := fix.awaitExit(); code != 0 {
		t.Errorf("fix ended with exit code %d after the server came back, want 0\n%s", code, fix.log)
	}
	task := f.awaitTask(job)
	wantOneAttempt(t, task)
	if task.GetStatus() != actionv1.TaskStatus_TASK_STATUS_SUCCEEDED {
		t.Errorf("status %v (%s), want SUCCEEDED: the machine was never disturbed", task.GetStatus(), task.GetResult().GetReason())
	}
	wantRunning(t, a)
}

// TestServerKilledBeforeTheResult: the machine finishes while the server is down. The result waits on the machine and is
// stored once when the server is back.
func TestServerKilledBeforeTheResult(t *testing.T) {
	t.Parallel()
	f := startFleet(t, "127.0.0.1")
	f.mustCtl("site", "add", "lyon")
	a := f.newAgent("lyon", "line-1")
	a.set("hang-on-stop")

	job := f.fix("ble-restart", "--site", "lyon", "--param", "stop_timeout=5s", "--param", "force_kill=true", "--param", "stable_for=10s")
	eventually(t, "the endpoint is being stopped", func() bool { return a.endpoint().Status != "running" })
	f.server.kill()
	hung := a.endpoint().PID
	eventually(t, "the endpoint runs again", func() bool {
		s := a.endpoint()
		return s.Status == "running" && s.PID != hung
	})
	f.start()

	task := f.awaitTask(job)
	wantOneAttempt(t, task)
	if task.GetStatus() != actionv1.TaskStatus_TASK_STATUS_SUCCEEDED {
		t.Errorf("status %v (%s), want SUCCEEDED", task.GetStatus(), task.GetResult().GetReason())
	}
}

// TestAgentKilledBetweenStopAndStart: the agent dies after it asked the service to stop and before it starts it. When it is
// back, the service runs, and the result tells that the agent was away.
func TestAgentKilledBetweenStopAndStart(t *testing.T) {
	t.Parallel()
	f := startFleet(t, "127.0.0.1")
	f.mustCtl("site", "add", "lyon")
	a := f.newAgent("lyon", "line-1")
	a.set("hang-on-stop")

	job := f.fix("ble-restart", "--site", "lyon", "--param", "stop_timeout=60s", "--param", "allow_in_session=true", "--param", "stable_for=10s")
	eventually(t, "the endpoint is being stopped", func() bool { return a.endpoint().Status != "running" })
	a.process.kill()
	a.set("stopped")
	if s := a.endpoint(); s.Status != "stopped" {
		t.Fatalf("endpoint is %s, want stopped: only then it is the agent that starts it", s.Status)
	}
	a.start()

	task := f.awaitTask(job)
	wantOneAttempt(t, task)
	if !task.GetResult().GetRecovered() {
		t.Errorf("result does not say that the agent was restarted in mid-run: %v", task.GetResult())
	}
	eventually(t, "the endpoint, which the agent had stopped, runs again", func() bool { return a.endpoint().Status == "running" })
}

// awaitRestarted waits until the one job has restarted the endpoint, and returns the job's id.
func awaitRestarted(t *testing.T, f *fleet, a *agent, oldPID int) (job string) {
	t.Helper()
	eventually(t, "the endpoint was restarted", func() bool {
		s := a.endpoint()
		return s.Status == "running" && s.PID != oldPID
	})
	var list fleetv1.ListJobsResponse
	unmarshal(t, f.mustCtl("get", "jobs", "-o", "json"), &list)
	if len(list.GetJobs()) != 1 {
		t.Fatalf("%d jobs, want the one that was asked for: %v", len(list.GetJobs()), list.GetJobs())
	}
	return list.GetJobs()[0].GetId()
}

// wantOneAttempt: whatever was cut or killed, a task is attempted once and reported once.
func wantOneAttempt(t *testing.T, task *fleetv1.Task) {
	t.Helper()
	if task.GetAttempt() != 1 {
		t.Errorf("attempt %d, want 1: an attempt that may have started is never dispatched as a new one", task.GetAttempt())
	}
	if task.GetResult() == nil {
		t.Errorf("task has no result: %v", task)
	}
}

func wantRunning(t *testing.T, a *agent) {
	t.Helper()
	if s := a.endpoint(); s.Status != "running" {
		t.Errorf("endpoint on %s is %s, want running: nothing may be left stopped", a.name, s.Status)
	}
}
