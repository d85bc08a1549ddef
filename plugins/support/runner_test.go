package main

import (
	"strings"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/neshost"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// ownURL is the address of the NES host in memory.
const ownURL = "https://" + hosttest.NESHostname + "/nes/"

// onTerminal is an agent on a terminal in memory that uses the NES host in memory, after both were changed.
func onTerminal(change func(terminal, nes *hosttest.Memory)) runnertest.Setup {
	return runnertest.Setup{
		Machine: func() *hosttest.Memory {
			terminal, nes := hosttest.NewMemory(), hosttest.NewNESHost()
			terminal.Trust(nes.Authority().Certificate)
			terminal.Reach(hosttest.NESHostname, nes)
			terminal.SetRegistry(nesKey, nesValue, ownURL)
			if change != nil {
				change(terminal, nes)
			}
			return terminal
		},
		Ready: runnertest.Knowing(&actionv1.Surroundings{NesHosts: []*actionv1.NESHost{{Host: hosttest.NESHostname, Url: ownURL, Used: true}}}),
	}
}

func onNESHost(change func(nes *hosttest.Memory)) runnertest.Setup {
	return runnertest.Setup{
		Machine: func() *hosttest.Memory {
			nes := hosttest.NewNESHost()
			for _, id := range neshost.AllFeatureIDs() {
				nes.SetFeature(id, true)
			}
			if change != nil {
				change(nes)
			}
			return nes
		},
		Terminal: &actionv1.Terminal{Id: "t-9", Name: "nes-lyon-1", Site: "lyon", Role: neshost.Role},
		Ready:    runnertest.Knowing(&actionv1.Surroundings{NesHosts: []*actionv1.NESHost{{Host: hosttest.NESHostname, Url: ownURL, Self: true}}}),
	}
}

// looked runs an action and returns its findings. It must succeed in less than half a minute, and have asked for no change.
func looked(t *testing.T, setup runnertest.Setup, action string, given map[string]string) []*actionv1.Finding {
	t.Helper()
	var found []*actionv1.Finding
	setup.Plugins = runnertest.Actions(actions()...)
	runnertest.In(t, setup, func(b *runnertest.Bench) {
		begun := time.Now()
		res := b.Run(action, given).Want(actionv1.TaskStatus_TASK_STATUS_SUCCEEDED)
		if took := time.Since(begun); took >= 30*time.Second {
			t.Errorf("it took %s, want less than half a minute", took)
		}
		if calls := b.Machine.Calls(); len(calls) > 0 {
			t.Errorf("the machine was asked for %q, want nothing: it only reads", calls)
		}
		found = res.GetFindings()
	})
	return found
}

// TestDiagnoseThroughTheAgent: the rules hold against what a real runner answers, on the machines in memory.
func TestDiagnoseThroughTheAgent(t *testing.T) {
	for name, c := range map[string]struct {
		setup  runnertest.Setup
		params map[string]string
		// bad are the findings that must be there, good rules that must be good.
		bad, good string
	}{
		"terminal without a COM port and tap off": {
			onTerminal(func(m, _ *hosttest.Memory) {
				m.SetFile("endpoint", "nbe.toml", "agent_url = \"ws://127.0.0.1:9120/socket/websocket\"\nrssi_tap_threshold = 0\n")
			}), profile("terminal"), "nbe-tap-threshold PROBLEM", "service-endpoint nes-trust nes-http agent-url-reachable nes-url-site",
		},
		"terminal that does not trust NES": {
			onTerminal(func(m, nes *hosttest.Memory) { m.Drop("Root", nes.Authority().SHA256()) }), profile("terminal", "nes-url"), "nes-trust PROBLEM", "nes-connect",
		},
		"terminal whose NES is down": {
			onTerminal(func(_, nes *hosttest.Memory) { nes.StopNow(neshost.WebService) }), profile("terminal", "nes-url"), "nes-connect PROBLEM", "nes-name",
		},
		"NES host": {onNESHost(nil), nil, "", "service-w3svc application-nes binding binding-valid log-level auth-url pool-identity"},
		"NES host with a broken application": {
			onNESHost(func(m *hosttest.Memory) { m.Answer("/nenrollment/", 500) }), profile("nes", "enrollment"), "application-nenrollment-http PROBLEM", "application-nenrollment-trust",
		},
		"NES host with levels left up": {
			onNESHost(func(m *hosttest.Memory) {
				text, _ := m.File("nes", neshost.WebConfig)
				m.SetFile("nes", neshost.WebConfig, strings.ReplaceAll(text, `value="Information"`, `value="Verbose"`))
			}), profile("nes", "config"), "log-level WARNING", "auth-url",
		},
		"authority": {onNESHost(func(m *hosttest.Memory) { m.SetSSLFlags(hosttest.CRLLocation, "Ssl") }), profile("nes-ca"), "crl-ssl PROBLEM", "service-certsvc crl-location"},
	} {
		t.Run(name, func(t *testing.T) {
			found := looked(t, c.setup, "diagnose", c.params)
			if c.bad != "" && !strings.Contains(strings.Join(worst(found), ", "), c.bad) {
				t.Errorf("found %v, want %q among it", worst(found), c.bad)
			}
			for rule := range strings.FieldsSeq(c.good) {
				if f := of(found, rule); f.GetLevel() != good {
					t.Errorf("%s is %v, want it good", rule, f)
				}
			}
		})
	}
}

// TestDiagnoseWithoutServer: what only the server knows is unknown, and the rest is told all the same.
func TestDiagnoseWithoutServer(t *testing.T) {
	setup := onTerminal(nil)
	setup.Ready = runnertest.Knowing(nil)
	found := looked(t, setup, "diagnose", nil)
	if f := of(found, "root"); f.GetLevel() != unknown || !strings.Contains(f.GetMessage(), "cannot be reached") {
		t.Errorf("root is %v, want it unknown, and why", f)
	}
	if f := of(found, "service-endpoint"); f.GetLevel() != good {
		t.Errorf("service-endpoint is %v, want it told without the server", f)
	}
}

func TestNetProbeThroughTheAgent(t *testing.T) {
	found := looked(t, onTerminal(nil), "net-probe", targetsAre("nes,https-enrollment"))
	if f := of(found, "nes-trust"); f.GetLevel() != good || !strings.Contains(f.GetValue(), "not after") || !strings.Contains(f.GetValue(), hosttest.NESHostname) {
		t.Errorf("the chain is %v, want it trusted, with its end and its names", f)
	}
	if f := of(found, "enrollment-http"); f == nil {
		t.Errorf("found %v, want what the enrolment service answers", found)
	}
	setup := onTerminal(nil)
	setup.Plugins = runnertest.Actions(netProbe{})
	runnertest.In(t, setup, func(b *runnertest.Bench) {
		b.Run("net-probe", targetsAre("192.0.2.77:22")).Want(actionv1.TaskStatus_TASK_STATUS_REFUSED).
			WantReason(`"192.0.2.77:22" is not known to the inventory`).WantNext("known hosts")
	})
}

// TestCrashes kills the agent at each step: what only reads is run again, and says the same.
func TestCrashes(t *testing.T) {
	runnertest.Crash(t, runnertest.Case{Action: diagnose{}, Setup: onTerminal(nil)})
	runnertest.Crash(t, runnertest.Case{Action: netProbe{}, Setup: onTerminal(nil)})
}

// TestAsAProcess takes the whole way once in real time: lock, pins, a process over mutual TLS, the runner.
func TestAsAProcess(t *testing.T) {
	setup := onTerminal(nil)
	offered, _ := runnertest.Program(t, "support")
	setup.Plugins = offered
	runnertest.On(t, setup, func(b *runnertest.Bench) {
		res := b.Run("diagnose", nil).Want(actionv1.TaskStatus_TASK_STATUS_SUCCEEDED)
		if len(res.GetFindings()) < 10 {
			t.Errorf("%d findings, want those of a terminal's profile", len(res.GetFindings()))
		}
	})
}
