package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/runner"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/bleservice"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

const (
	succeeded   = actionv1.TaskStatus_TASK_STATUS_SUCCEEDED
	failed      = actionv1.TaskStatus_TASK_STATUS_FAILED
	taskRefused = actionv1.TaskStatus_TASK_STATUS_REFUSED
)

const (
	stopBLE  = `stop "Nymi Bluetooth Endpoint"`
	startBLE = `start "Nymi Bluetooth Endpoint"`
	runTool  = `run "firmware-log-tool"`
)

// yes confirms whatever is asked.
func yes(*agentv1.Question) *agentv1.Answer {
	return &agentv1.Answer{Confirmed: true, By: "eva"}
}

func no(*agentv1.Question) *agentv1.Answer {
	return &agentv1.Answer{By: "eva", Note: "the band is not here"}
}

func nobody(*agentv1.Question) *agentv1.Answer { return nil }

func setup(person func(*agentv1.Question) *agentv1.Answer, arrange func(*hosttest.Memory)) runnertest.Setup {
	return runnertest.Setup{
		Plugins: runnertest.Actions(logsFetch{}), Person: person,
		Configure: func(c *runner.Config) { c.Spool = shelf{} },
		Machine: func() *hosttest.Memory {
			m := hosttest.NewMemory()
			if arrange != nil {
				arrange(m)
			}
			return m
		},
	}
}

func program(p hosttest.Program) func(*hosttest.Memory) {
	return func(m *hosttest.Memory) { m.SetProgram(tool, p) }
}

func TestLogsFetchOutcomes(t *testing.T) {
	wrote := map[string]string{"band.log": "encrypted"}
	whole := []string{stopBLE, runTool, startBLE}
	for name, o := range map[string]struct {
		person       func(*agentv1.Question) *agentv1.Answer
		arrange      func(*hosttest.Memory)
		want         actionv1.TaskStatus
		reason, next string
		calls        []string
	}{
		"a log":             {person: yes, want: succeeded, next: "encrypted", calls: whole},
		"no":                {person: no, want: failed, reason: "eva said no: the band is not here", calls: []string{}},
		"nobody":            {person: nobody, want: failed, reason: "nobody confirmed within 30m", calls: []string{}},
		"no new file":       {person: yes, arrange: program(hosttest.Program{}), want: failed, reason: "wrote no new log", next: "on its charger", calls: whole},
		"an empty file":     {person: yes, arrange: program(hosttest.Program{NewFiles: map[string]string{"band.log": ""}}), want: failed, reason: "wrote no new log", calls: whole},
		"the tool crashes":  {person: yes, arrange: program(hosttest.Program{ExitCode: 3, NewFiles: wrote}), want: failed, reason: "exit code 3", next: "on its charger", calls: whole},
		"the tool hangs":    {person: yes, arrange: program(hosttest.Program{Hangs: true, NewFiles: wrote}), want: failed, reason: "did not end within 10m", calls: whole},
		"the tool is other": {person: yes, arrange: program(hosttest.Program{Unapproved: true}), want: taskRefused, reason: "is not approved", next: "sha256 list", calls: []string{}},
		"no tool":           {person: yes, arrange: program(hosttest.Program{Missing: true}), want: taskRefused, reason: "is not there", calls: []string{}},
		"no adapter":        {person: yes, arrange: func(m *hosttest.Memory) { m.SetAdapters(0) }, want: taskRefused, reason: "exactly one Bluetooth adapter", calls: []string{}},
		"endpoint is off": {
			person: yes, arrange: func(m *hosttest.Memory) { m.StopNow(bleservice.Endpoint) }, want: succeeded, calls: []string{runTool},
		},
		"endpoint is not there": {
			person: yes, arrange: func(m *hosttest.Memory) { m.Uninstall(bleservice.Endpoint) }, want: succeeded, calls: []string{runTool},
		},
	} {
		t.Run(name, func(t *testing.T) {
			runnertest.In(t, setup(o.person, o.arrange), func(b *runnertest.Bench) {
				res := b.Run("firmware-logs-fetch", serial()).Want(o.want).WantReason(o.reason)
				if !strings.Contains(res.GetNextStep(), o.next) {
					t.Errorf("next step is %q, want %q in it", res.GetNextStep(), o.next)
				}
				if calls := b.Machine.Calls(); !slices.Equal(calls, o.calls) {
					t.Errorf("the machine was asked for %q, want %q", calls, o.calls)
				}
				if slices.Contains(o.calls, stopBLE) && b.Machine.PID(bleservice.Endpoint) == 0 {
					t.Error("the endpoint does not run in the end, want it running whatever the tool did")
				}
			})
		})
	}
}

func serial() map[string]string { return map[string]string{"band_serial": "AAAH-00125"} }

// TestTheHashIsNamed holds that a refusal names the whole hash, which a person compares.
func TestTheHashIsNamed(t *testing.T) {
	runnertest.In(t, setup(yes, program(hosttest.Program{Unapproved: true})), func(b *runnertest.Bench) {
		state, err := b.Host().Programs.Look(t.Context(), tool)
		if err != nil {
			t.Fatal(err)
		}
		b.Run("firmware-logs-fetch", serial()).Want(taskRefused).WantReason(state.GetSha256())
	})
}

// TestThePersonIsToldWhichBand holds that the question names the serial and what happens then, and that the log is kept under it.
func TestThePersonIsToldWhichBand(t *testing.T) {
	var asked string
	person := func(q *agentv1.Question) *agentv1.Answer {
		asked = q.GetPrompt()
		return yes(q)
	}
	runnertest.In(t, setup(person, nil), func(b *runnertest.Bench) {
		res := b.Run("firmware-logs-fetch", serial()).Want(succeeded)
		for _, words := range []string{"AAAH-00125", "charger", "every other band away", "session may lock"} {
			if !strings.Contains(asked, words) {
				t.Errorf("the person was asked %q, want %q in it", asked, words)
			}
		}
		if got := res.GetArtifacts(); len(got) != 1 || got[0].GetKind() != logKind || got[0].GetSubject() != "AAAH-00125" {
			t.Errorf("kept files are %v, want one %s about the band", got, logKind)
		}
	})
}

func TestBadSerialsAreRefused(t *testing.T) {
	for _, text := range []string{"", "A", "AAAH 00125", "AAAH/00125", "-AAAH", strings.Repeat("A", 64)} {
		runnertest.In(t, setup(yes, nil), func(b *runnertest.Bench) {
			b.Run("firmware-logs-fetch", map[string]string{"band_serial": text}).Want(taskRefused).WantReason("band_serial")
			if calls := b.Machine.Calls(); len(calls) > 0 {
				t.Errorf("serial %q: the machine was asked for %q, want nothing", text, calls)
			}
		})
	}
}

// TestCrashes kills the agent at each step. The endpoint runs in every end. When the agent died while the tool ran, nobody knows what the
// tool did.
func TestCrashes(t *testing.T) {
	s := setup(yes, nil)
	s.Plugins = nil
	runnertest.Crash(t, runnertest.Case{
		Action: logsFetch{}, Params: serial(), Setup: s,
		May: []actionv1.TaskStatus{succeeded, failed, actionv1.TaskStatus_TASK_STATUS_UNKNOWN},
	})
}

// shelf keeps files by their size alone, and no output.
type shelf struct{}

func (shelf) Begin(string) runner.Whole { return output{io.Discard} }

func (shelf) Add(_ context.Context, _ *agentv1.TaskKey, kind, subject string, file io.Reader) (*actionv1.ArtifactReference, error) {
	n, err := io.Copy(io.Discard, file)
	if n == 0 {
		err = errors.Join(err, errors.New("there is nothing to keep"))
	}
	return &actionv1.ArtifactReference{Kind: kind, Subject: subject, Size: uint64(n), Sha256: strings.Repeat("0", 64)}, err
}

type output struct{ io.Writer }

func (output) Seen() uint64 { return 0 }
func (output) Keep(*agentv1.TaskKey) (*actionv1.ArtifactReference, error) {
	return nil, errors.New("output is not kept here")
}
func (output) Discard() error { return nil }
