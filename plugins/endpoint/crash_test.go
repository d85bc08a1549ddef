package main

import (
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/bleservice"
)

// TestCrashes kills the agent at each step of each action.
func TestCrashes(t *testing.T) {
	for name, c := range map[string]runnertest.Case{
		"ble-restart":        {Action: bleRestart{}, Twice: true},
		"nymi-agent-restart": {Action: nymiAgentRestart{}},
		"ble-restart of a slow service": {
			Action: bleRestart{}, Setup: runnertest.Setup{Machine: func() *hosttest.Memory {
				m := hosttest.NewMemory()
				m.Install(bleservice.Endpoint, hosttest.Script{StopDelay: 5 * time.Second, StartDelay: 5 * time.Second})
				return m
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runnertest.Crash(t, c)
		})
	}
}
