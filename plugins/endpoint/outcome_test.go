package main

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/bleservice"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	succeeded      = actionv1.TaskStatus_TASK_STATUS_SUCCEEDED
	unchanged      = actionv1.TaskStatus_TASK_STATUS_NO_CHANGE
	failed         = actionv1.TaskStatus_TASK_STATUS_FAILED
	rollbackFailed = actionv1.TaskStatus_TASK_STATUS_ROLLBACK_FAILED
	taskRefused    = actionv1.TaskStatus_TASK_STATUS_REFUSED
)

// here offers the plugin's actions in this process.
func here() runnertest.Setup {
	return runnertest.Setup{Plugins: runnertest.Actions(bleRestart{}, nymiAgentRestart{})}
}

// outcome is an action on a terminal and what must come of it.
type outcome struct {
	action  string
	params  map[string]string
	arrange func(m *hosttest.Memory)
	want    actionv1.TaskStatus
	// reason, next and warning must be in the result's texts; an empty next means that there must be none.
	reason, next, warning string
	// calls is what must have been asked of the machine, nil when it does not matter.
	calls []string
}

func (o outcome) check(t *testing.T, b *runnertest.Bench) {
	t.Helper()
	o.arrange(b.Machine)
	res := b.Run(o.action, o.params)
	if res.GetStatus() != o.want {
		t.Errorf("status = %v (%s), want %v", res.GetStatus(), res.GetReason(), o.want)
	}
	if !strings.Contains(res.GetReason(), o.reason) {
		t.Errorf("reason = %q, want %q in it", res.GetReason(), o.reason)
	}
	if !strings.Contains(res.GetNextStep(), o.next) || (o.next == "" && res.GetNextStep() != "") {
		t.Errorf("next step = %q, want %q in it (none when empty)", res.GetNextStep(), o.next)
	}
	if warnings := strings.Join(res.GetPlan().GetWarnings(), "\n"); !strings.Contains(warnings, o.warning) {
		t.Errorf("warnings = %q, want %q in them", warnings, o.warning)
	}
	if calls := b.Machine.Calls(); o.calls != nil && !slices.Equal(calls, o.calls) {
		t.Errorf("the machine was asked for %q, want %q", calls, o.calls)
	}
}

func checkOutcomes(t *testing.T, action string, outcomes map[string]outcome) {
	for name, o := range outcomes {
		o.action = action
		if o.arrange == nil {
			o.arrange = func(*hosttest.Memory) {}
		}
		t.Run(name, func(t *testing.T) { runnertest.In(t, here(), func(b *runnertest.Bench) { o.check(t, b) }) })
	}
}

func script(service string, s hosttest.Script) func(*hosttest.Memory) {
	return func(m *hosttest.Memory) { m.Install(service, s) }
}

func params(pairs ...string) map[string]string {
	m := map[string]string{}
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		m[name] = value
	}
	return m
}

const (
	stopBLE    = `stop "Nymi Bluetooth Endpoint"`
	startBLE   = `start "Nymi Bluetooth Endpoint"`
	killBLE    = `kill "Nymi Bluetooth Endpoint"`
	stopAgent  = `stop "Nymi Agent"`
	startAgent = `start "Nymi Agent"`
)

func TestBLERestartOutcomes(t *testing.T) {
	problem := func(code uint32) func(*hosttest.Memory) {
		return func(m *hosttest.Memory) {
			m.SetDevices(bleservice.AdapterVendor, bleservice.AdapterProduct, &actionv1.Device{Name: "Bluegiga", ProblemCode: code})
		}
	}
	checkOutcomes(t, "ble-restart", map[string]outcome{
		"healthy":         {want: succeeded, calls: []string{stopBLE, startBLE}},
		"stopped":         {arrange: func(m *hosttest.Memory) { m.StopNow(bleservice.Endpoint) }, want: succeeded, calls: []string{startBLE}},
		"ensure, running": {params: params("mode=ensure-running"), want: unchanged, calls: []string{}},
		"ensure, stopped": {
			params: params("mode=ensure-running"), arrange: func(m *hosttest.Memory) { m.StopNow(bleservice.Endpoint) },
			want: succeeded, calls: []string{startBLE},
		},
		"not installed": {
			arrange: func(m *hosttest.Memory) { m.Uninstall(bleservice.Endpoint) },
			want:    taskRefused, reason: "is not installed", next: "install the Nymi Runtime, then run this again", calls: []string{},
		},
		"disabled": {
			arrange: func(m *hosttest.Memory) { m.Install(bleservice.Endpoint, hosttest.Script{Disabled: true}) },
			want:    taskRefused, reason: "is disabled", next: "startup type", calls: []string{},
		},
		"over the budget": {params: params("stop_timeout=20s"), want: taskRefused, reason: "allow_in_session=true", next: "put right", calls: []string{}},
		"over the budget, allowed": {
			params: params("stop_timeout=20s", "allow_in_session=true"), want: succeeded, warning: "may lock",
		},
		"hangs on stop": {
			arrange: script(bleservice.Endpoint, hosttest.Script{HangsOnStop: true}),
			want:    rollbackFailed, reason: "did not stop within 10s", next: "force_kill=true",
		},
		"hangs on stop, forced": {
			params: params("force_kill=true"), arrange: script(bleservice.Endpoint, hosttest.Script{HangsOnStop: true}),
			want: succeeded, calls: []string{stopBLE, killBLE, startBLE},
		},
		"cannot even be ended": {
			params: params("force_kill=true"), arrange: script(bleservice.Endpoint, hosttest.Script{HangsOnStop: true, IgnoresKill: true}),
			want: rollbackFailed, reason: "could not be ended", next: "host-reboot",
		},
		"stops late but in time": {arrange: script(bleservice.Endpoint, hosttest.Script{StopDelay: 9 * time.Second}), want: succeeded},
		"fails to start once":    {arrange: script(bleservice.Endpoint, hosttest.Script{FailStarts: 1}), want: succeeded, calls: []string{stopBLE, startBLE, startBLE}},
		"never starts": {
			arrange: script(bleservice.Endpoint, hosttest.Script{FailStarts: -1}),
			want:    rollbackFailed, reason: "did not start, tried twice", next: "event log",
		},
		"dies in its settling time": {
			arrange: script(bleservice.Endpoint, hosttest.Script{DieAfter: 5 * time.Second}),
			want:    failed, reason: "keeps running", next: "event log",
		},
		"dies after its settling time": {
			params: params("stable_for=10s"), arrange: script(bleservice.Endpoint, hosttest.Script{DieAfter: time.Minute}), want: succeeded,
		},
		"no adapter": {
			arrange: func(m *hosttest.Memory) { m.SetAdapters(0) },
			want:    failed, reason: "adapter works", next: "plug the Bluetooth adapter in", warning: "not present",
		},
		"two adapters":    {arrange: func(m *hosttest.Memory) { m.SetAdapters(2) }, want: succeeded, warning: "want exactly one"},
		"adapter problem": {arrange: problem(43), want: failed, reason: "problem code 43", next: "plug", warning: "problem code 43"},
		"adapter problem after force": {
			params: params("force_kill=true"),
			arrange: func(m *hosttest.Memory) {
				m.Install(bleservice.Endpoint, hosttest.Script{HangsOnStop: true})
				problem(10)(m)
			},
			want: failed, reason: "problem code 10", next: "unplug the adapter and plug it in again",
		},
		"Nymi Agent unreachable": {
			arrange: func(m *hosttest.Memory) { m.SetReachable(hosttest.AgentAddress, false) },
			want:    failed, reason: "port is reachable", next: "nymi-agent-restart",
		},
		"agent_url elsewhere": {
			arrange: func(m *hosttest.Memory) {
				m.SetFile(bleservice.Root, bleservice.ConfigFile, `agent_url = "wss://central.plant.example/socket"`)
				m.SetReachable("central.plant.example:443", true)
			},
			want: succeeded,
		},
		"agent_url from the template": {
			arrange: func(m *hosttest.Memory) {
				m.SetFile(bleservice.Root, bleservice.ConfigFile, "rssi_cutoff_far = -75\n")
				m.SetFile(bleservice.Root, bleservice.TemplateFile, `agent_url = "ws://127.0.0.1:9999/"`)
				m.SetReachable("127.0.0.1:9999", true)
			},
			want: succeeded,
		},
		"broken nbe.toml": {
			arrange: func(m *hosttest.Memory) { m.SetFile(bleservice.Root, bleservice.ConfigFile, "agent_url = \n") },
			want:    failed, reason: `file "nbe.toml": line 1`, next: "nymi-agent-restart", warning: "success cannot be proven",
		},
	})
}

func TestNymiAgentRestartOutcomes(t *testing.T) {
	url := func(text string) func(*hosttest.Memory) {
		return func(m *hosttest.Memory) { m.SetFile(bleservice.Root, bleservice.ConfigFile, `agent_url = "`+text+`"`) }
	}
	const reopen = "close the Nymi Band Application and open it again"
	checkOutcomes(t, "nymi-agent-restart", map[string]outcome{
		"running": {want: unchanged, calls: []string{}},
		"restart": {params: params("mode=restart"), want: succeeded, next: reopen, calls: []string{stopAgent, startAgent}},
		"stopped": {arrange: func(m *hosttest.Memory) { m.StopNow(bleservice.NymiAgent) }, want: succeeded, next: reopen, calls: []string{startAgent}},
		"stopped, and the endpoint too": {
			arrange: func(m *hosttest.Memory) { m.StopNow(bleservice.NymiAgent); m.StopNow(bleservice.Endpoint) },
			want:    succeeded, next: "run ble-restart", calls: []string{startAgent},
		},
		"runs but does not answer": {
			arrange: func(m *hosttest.Memory) { m.SetReachable(hosttest.AgentAddress, false) },
			want:    failed, reason: "port is reachable", next: "event log", warning: "counts as hung", calls: []string{stopAgent, startAgent},
		},
		"elsewhere": {
			arrange: url("ws://central.plant.example:9120/socket/websocket"),
			want:    taskRefused, reason: `"central.plant.example"`, next: "run nymi-agent-restart on central.plant.example", calls: []string{},
		},
		"own address": {
			arrange: func(m *hosttest.Memory) {
				url("ws://192.0.2.10:9120/socket/websocket")(m)
				m.SetReachable("192.0.2.10:9120", true)
			},
			want: unchanged,
		},
		"broken nbe.toml": {
			arrange: func(m *hosttest.Memory) { m.SetFile(bleservice.Root, bleservice.ConfigFile, "agent_url = ") },
			want:    taskRefused, reason: "it is not known where the Nymi Agent is", next: "repair nbe.toml", calls: []string{},
		},
		"no web socket": {arrange: url("ftp://127.0.0.1/"), want: taskRefused, reason: "want ws:// or wss://", next: "repair nbe.toml"},
		"not installed": {
			arrange: func(m *hosttest.Memory) { m.Uninstall(bleservice.NymiAgent) },
			want:    taskRefused, reason: "is not installed", next: "install the Nymi Runtime, then run this again", calls: []string{},
		},
	})
}

// TestResultExplainsItself holds that a result names the process before and after, the adapter and agent_url.
func TestResultExplainsItself(t *testing.T) {
	runnertest.In(t, here(), func(b *runnertest.Bench) {
		res := b.Run("ble-restart", nil)
		seen := map[string]string{}
		for _, e := range res.GetEvidence() {
			seen[e.GetName()] = e.GetValue()
		}
		for _, name := range []string{"process before", "process after", "adapter before", "adapter after", "agent_url"} {
			if seen[name] == "" {
				t.Errorf("evidence has no %q: %v", name, seen)
			}
		}
		if seen["process before"] == seen["process after"] {
			t.Errorf("process before and after are both %q", seen["process before"])
		}
		if len(res.GetChecks()) != 5 {
			t.Errorf("%d checks, want service, new process, stability, adapter and port: %v", len(res.GetChecks()), res.GetChecks())
		}
	})
}

func TestEnsureRestartsAServiceStuckOnItsWay(t *testing.T) {
	runnertest.In(t, here(), func(b *runnertest.Bench) {
		b.Machine.Install(bleservice.Endpoint, hosttest.Script{HangsOnStop: true})
		// A person asked it to stop, and it hangs since.
		go b.Machine.Host().Services.Stop(b.T.Context(), bleservice.Endpoint) //nolint:errcheck // it hangs until the process is ended
		time.Sleep(time.Second)
		res := b.Run("ble-restart", params("mode=ensure-running", "force_kill=true"))
		if res.GetStatus() != succeeded || !strings.Contains(strings.Join(res.GetPlan().GetWarnings(), ""), "counts as hung") {
			t.Errorf("result = %v, want the hung service restarted, with a warning that says why", res)
		}
	})
}

// TestInterruptedRestart ends the agent between stop and start of the service, and starts it again: the agent brings the
// service back, and the action's Verify decides from the recorded process id that the restart came about.
func TestInterruptedRestart(t *testing.T) {
	runnertest.In(t, here(), func(b *runnertest.Bench) {
		reached := make(chan struct{})
		var once sync.Once
		b.Machine.Interpose(func(call string) error {
			if call != startBLE {
				return nil
			}
			once.Do(func() { close(reached) })
			return errors.New("the machine is busy")
		})
		job := b.Begin("ble-restart", nil)
		<-reached
		b.Stop()
		b.Machine.Interpose(nil)
		b.Start()
		res := b.Result(job)
		if res.GetStatus() != succeeded || !res.GetRecovered() || res.GetRuns() != 1 {
			t.Errorf("result = %v, want one recovered run whose restart was verified", res)
		}
		state, err := b.Machine.Host().Services.State(b.T.Context(), bleservice.Endpoint)
		if err != nil || !bleservice.Running(state) {
			t.Errorf("the service is %v (%v) in the end, want it running", state, err)
		}
	})
}
