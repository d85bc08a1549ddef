package runner_test

import (
	"context"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/runner"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// fetcher runs the firmware log tool for a band.
func fetcher(timeout time.Duration) doer {
	return doer{
		effects: []*actionv1.Effect{sdk.ProgramRun(hosttest.FirmwareLogTool, timeout, "firmware-log", "NB-0007")},
		look:    func(context.Context, *sdk.VerifyRun) (bool, error) { return true, nil },
	}
}

// withProgram is a terminal whose firmware log tool behaves so, and an agent that keeps files on a shelf.
func withProgram(p hosttest.Program, s *shelf) runnertest.Setup {
	return runnertest.Setup{
		Machine: func() *hosttest.Memory {
			m := hosttest.NewMemory()
			m.SetProgram(hosttest.FirmwareLogTool, p)
			return m
		},
		Configure: func(c *runner.Config) { c.Spool = s },
	}
}

func TestProgramsAreRunAndWhatTheyWriteIsKept(t *testing.T) {
	wrote := map[string]string{"band.bin": "an encrypted log", "empty.bin": ""}
	for name, c := range map[string]struct {
		program hosttest.Program
		full    bool
		status  actionv1.TaskStatus
		reason  string
		kept    bool
	}{
		"it ends well":               {hosttest.Program{NewFiles: wrote, Takes: time.Minute}, false, succeeded, "", true},
		"it writes nothing":          {hosttest.Program{}, false, succeeded, "", false},
		"it fails and writes":        {hosttest.Program{NewFiles: wrote, ExitCode: 3}, false, failed, "exit code 3", true},
		"it does not end":            {hosttest.Program{NewFiles: wrote, Hangs: true}, false, failed, "did not end within 5m0s and was ended", true},
		"it is not approved":         {hosttest.Program{Unapproved: true}, false, failed, "is not approved", false},
		"it is not there":            {hosttest.Program{Missing: true}, false, failed, "there is no file", false},
		"what it writes has no room": {hosttest.Program{NewFiles: wrote}, true, failed, "is not kept: the disk is nearly full", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shelf{kept: map[string]string{}, full: c.full}
			runnertest.In(t, withActions(withProgram(c.program, s), fetcher(5*time.Minute)), func(b *runnertest.Bench) {
				res := b.Run("do", nil).Want(c.status).WantReason(c.reason)
				if got := s.kept["j-1 firmware-log NB-0007"]; (got == "an encrypted log") != c.kept || (len(res.GetArtifacts()) == 1) != c.kept {
					t.Errorf("%q is kept and the result names %v, want the band's log there: %v", got, res.GetArtifacts(), c.kept)
				}
				if b.Machine.ProgramRuns(hosttest.FirmwareLogTool) {
					t.Error("the program still runs, want it ended")
				}
			})
		})
	}
}

// TestProgramsEndWithTheAgent: neither an orderly end of the agent nor a death of it leaves a program behind.
func TestProgramsEndWithTheAgent(t *testing.T) {
	s := &shelf{kept: map[string]string{}}
	runnertest.In(t, withActions(withProgram(hosttest.Program{Hangs: true}, s), fetcher(10*time.Minute)), func(b *runnertest.Bench) {
		job := b.Begin("do", nil)
		time.Sleep(time.Minute)
		if !b.Machine.ProgramRuns(hosttest.FirmwareLogTool) {
			t.Fatal("the program does not run, want it to run until the agent ends")
		}
		b.Stop()
		if b.Machine.ProgramRuns(hosttest.FirmwareLogTool) {
			t.Error("the program runs after the agent's end, want it ended with its tree")
		}
		b.Machine.LeaveRunning(hosttest.FirmwareLogTool)
		b.Start()
		if b.Machine.ProgramRuns(hosttest.FirmwareLogTool) {
			t.Error("a program of an earlier agent runs, want it ended before anything else is taken up")
		}
		b.Result(job)
	})
}

// TestACrashInAProgram: nobody knows whether it ran to its end, and nobody says so. What is said to have succeeded names its file, whenever
// the agent died after it.
func TestACrashInAProgram(t *testing.T) {
	s := &shelf{kept: map[string]string{}}
	action := fetcher(5 * time.Minute)
	action.repeat = actionv1.Repeatability_REPEATABILITY_ONE_SHOT
	runnertest.Crash(t, runnertest.Case{
		Action: action, Setup: withProgram(hosttest.Program{Takes: time.Minute, NewFiles: map[string]string{"band.bin": "an encrypted log"}}, s),
		May: []actionv1.TaskStatus{succeeded, failed, actionv1.TaskStatus_TASK_STATUS_UNKNOWN},
		Check: func(t *testing.T, _ *hosttest.Memory, res *actionv1.TaskResult) {
			for _, e := range res.GetEffects() {
				if e.GetFinished() == nil && e.GetError() == "" {
					t.Errorf("effect %v: an interrupted run is told as done", e)
				}
			}
			if res.GetStatus() == succeeded && len(res.GetArtifacts()) != 1 {
				t.Errorf("the result names %v, want the file that the run has brought", res.GetArtifacts())
			}
		},
	})
}
