package main

import (
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// ownURL is the address of the NES host in memory.
const ownURL = "https://" + hosttest.NESHostname + "/nes/"

func knownSite() *actionv1.Surroundings {
	return &actionv1.Surroundings{NesHosts: []*actionv1.NESHost{{Host: hosttest.NESHostname, Url: ownURL, Self: true, Users: 12}}}
}

// onHost is an agent on a NES host in memory after it was changed, with a server that knows it.
func onHost(changes ...func(*hosttest.Memory)) runnertest.Setup {
	return runnertest.Setup{
		Machine: func() *hosttest.Memory {
			m := hosttest.NewNESHost()
			for _, id := range neshost.AllFeatureIDs() {
				m.SetFeature(id, false)
			}
			for _, change := range changes {
				change(m)
			}
			return m
		},
		Terminal: &actionv1.Terminal{Id: "t-9", Name: "nes-lyon-1", Site: "lyon", Role: neshost.Role},
		Ready:    runnertest.Knowing(knownSite()),
	}
}

func stopService(name string) func(*hosttest.Memory) {
	return func(m *hosttest.Memory) { m.StopNow(name) }
}

// TestCrashes kills the agent at each step of each action.
func TestCrashes(t *testing.T) {
	succeeded, failed := actionv1.TaskStatus_TASK_STATUS_SUCCEEDED, actionv1.TaskStatus_TASK_STATUS_FAILED
	// The run after a crash finds what the one before it did.
	orThere := []actionv1.TaskStatus{succeeded, actionv1.TaskStatus_TASK_STATUS_NO_CHANGE}
	// Whether a pool was recycled leaves no trace that could be read.
	orUnknown := []actionv1.TaskStatus{succeeded, failed, actionv1.TaskStatus_TASK_STATUS_ROLLED_BACK, actionv1.TaskStatus_TASK_STATUS_UNKNOWN}
	for name, c := range map[string]runnertest.Case{
		"verbose-logging on":              {Action: verboseLogging{}, Params: params("state", "on", "ttl", "2h")},
		"verbose-logging without restart": {Action: verboseLogging{}, Params: params("state", "set", "level", "Error", "ttl", "1h", "restart", "none", "services", "nes,nenrollment")},
		"iis-restart":                     {Action: iisRestart{}, Params: params("mode", "restart")},
		"iis-restart of what is stopped":  {Action: iisRestart{}, Setup: onHost(stopService(neshost.WebService), stopService(neshost.ActivationService))},
		"iis-restart recycling":           {Action: iisRestart{}, Params: params("mode", "recycle"), May: orUnknown},
		"nes-auth-url-set":                {Action: nesAuthURLSet{}, Params: params("url", "https://"+hosttest.NESHostname+"/authenticationservice/x")},
		"crl-http-allow":                  {Action: crlHTTPAllow{}, Setup: onHost(func(m *hosttest.Memory) { m.SetSSLFlags(hosttest.CRLLocation, "Ssl,SslNegotiateCert") })},
		"windows-feature-ensure":          {Action: windowsFeatureEnsure{}, May: orThere},
		"adcs-start":                      {Action: adcsStart{}, Setup: onHost(stopService(neshost.CertificateService)), May: orThere},
		"apppool-identity-set":            {Action: appPoolIdentitySet{}, Params: params("pool", hosttest.NESPool, "identity", "NetworkService")},
	} {
		t.Run(name, func(t *testing.T) {
			if c.Setup.Machine == nil {
				c.Setup = onHost()
			}
			runnertest.Crash(t, c)
		})
	}
}

// bench runs one action on a NES host in memory.
func bench(t *testing.T, a sdk.Action, setup runnertest.Setup, test func(b *runnertest.Bench)) {
	t.Helper()
	setup.Plugins = runnertest.Actions(a)
	runnertest.In(t, setup, test)
}

func webConfig(application string) string { return sample.WebConfig(application, sample.Windows()) }
