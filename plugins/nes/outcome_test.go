package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	rules "github.com/bandfleet/bandfleet/proto/params"
)

const (
	failed     = actionv1.TaskStatus_TASK_STATUS_FAILED
	rolledBack = actionv1.TaskStatus_TASK_STATUS_ROLLED_BACK
)

// TestOutcomes: what each action comes to, what it says, and what was asked of the machine.
func TestOutcomes(t *testing.T) {
	pool := func(identity string) func(*hosttest.Memory) {
		return func(m *hosttest.Memory) { m.SetPool(hosttest.NESPool, identity, true) }
	}
	for name, c := range map[string]struct {
		action       sdk.Action
		params       map[string]string
		change       func(*hosttest.Memory)
		want         actionv1.TaskStatus
		reason, next string
		// calls is what must have been asked of the machine; nil when it does not matter.
		calls []string
	}{
		"IIS runs": {action: iisRestart{}, want: unchanged, calls: []string{}},
		"IIS is restarted, the one that needs the other first": {
			action: iisRestart{}, params: params("mode", "restart"), want: succeeded,
			calls: []string{`stop "W3SVC"`, `stop "WAS"`, `start "WAS"`, `start "W3SVC"`},
		},
		"IIS is down": {
			action: iisRestart{}, change: stopService(neshost.WebService), want: succeeded, calls: []string{`start "W3SVC"`},
		},
		"a pool of NES is stopped": {
			action: iisRestart{}, change: func(m *hosttest.Memory) { m.SetPool(hosttest.NESPool, "LocalSystem", false) },
			want: succeeded, calls: []string{`pool-start "NES"`},
		},
		"IIS does not start": {
			action: iisRestart{}, change: func(m *hosttest.Memory) {
				m.StopNow(neshost.WebService)
				m.Install(neshost.WebService, hosttest.Script{FailStarts: 9})
			},
			want: failed, reason: "W3SVC did not start, tried twice", next: "System event log",
		},
		"an application is broken": {
			action: iisRestart{}, change: func(m *hosttest.Memory) { m.Answer("/nenrollment/", 500) },
			want: failed, reason: "HTTP 500", next: "System event log",
		},
		"a pool of others": {
			action: iisRestart{}, params: params("mode", "recycle", "pool", hosttest.ClassicPool), want: taskRefused, reason: "is none of NES",
			next: "are not touched", calls: []string{},
		},
		"revocation lists behind SSL": {
			action: crlHTTPAllow{}, change: func(m *hosttest.Memory) { m.SetSSLFlags(hosttest.CRLLocation, "Ssl") },
			want: succeeded, next: "adcs-start",
		},
		"revocation lists not behind SSL": {action: crlHTTPAllow{}, want: unchanged, next: "adcs-start", calls: []string{}},
		"revocation lists that are missing": {
			action: crlHTTPAllow{}, change: func(m *hosttest.Memory) {
				m.SetSSLFlags(hosttest.CRLLocation, "Ssl")
				m.Answer("/crl/NESL1CA.crl", 404)
			},
			want: rolledBack, reason: "HTTP 404", next: "are published",
		},
		"authority stopped":  {action: adcsStart{}, change: stopService(neshost.CertificateService), want: succeeded, calls: []string{`start "CertSvc"`}},
		"authority runs":     {action: adcsStart{}, want: unchanged, calls: []string{}},
		"LocalService":       {action: appPoolIdentitySet{}, params: params("pool", "NES", "identity", "LocalSystem"), change: pool("LocalService"), want: succeeded},
		"as it is":           {action: appPoolIdentitySet{}, params: params("pool", "NES", "identity", "LocalSystem"), want: unchanged, calls: []string{}},
		"a password's owner": {action: appPoolIdentitySet{}, params: params("pool", "NES", "identity", "SpecificUser"), want: taskRefused, reason: "want one of", next: "put right"},
		"http":               {action: nesAuthURLSet{}, params: params("url", "http://nes-lyon-1.example/x"), want: taskRefused, reason: "want an https URL", next: "put right"},
		"a stranger's host":  {action: nesAuthURLSet{}, params: params("url", "https://evil.example/x"), want: taskRefused, reason: "is not known to the inventory", next: "known hosts"},
		"not found": {
			action: nesAuthURLSet{}, params: params("url", "https://nes-lyon-1.example/gone/"), change: func(m *hosttest.Memory) { m.Answer("/gone/", 404) },
			want: taskRefused, reason: "HTTP 404", next: "net-probe", calls: []string{},
		},
		"features, and a restart that is only reported": {
			action: windowsFeatureEnsure{}, change: func(m *hosttest.Memory) { m.FeaturesNeedRestart(true) }, want: succeeded, next: "host-reboot",
		},
		"a feature that is not on the list": {
			action: windowsFeatureEnsure{}, params: params("features", "Telnet-Server"), want: taskRefused, reason: "want one of", next: "put right", calls: []string{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			changes := []func(*hosttest.Memory){}
			if c.change != nil {
				changes = append(changes, c.change)
			}
			bench(t, c.action, onHost(changes...), func(b *runnertest.Bench) {
				b.Run(c.action.Manifest().GetName(), c.params).Want(c.want).WantReason(c.reason).WantNext(c.next)
				if calls := b.Machine.Calls(); c.calls != nil && !slices.Equal(calls, c.calls) {
					t.Errorf("the machine was asked for %q, want %q", calls, c.calls)
				}
			})
		})
	}
}

// TestAuthURLIsOneText: the one setting changes and no other byte of the file.
func TestAuthURLIsOneText(t *testing.T) {
	url := "https://" + hosttest.NESHostname + "/authenticationservice/v2/"
	bench(t, nesAuthURLSet{}, onHost(), func(b *runnertest.Bench) {
		before, _ := b.Machine.File("nes", neshost.WebConfig)
		b.Run("nes-auth-url-set", params("url", url)).Want(succeeded).WantNext("System Diagnostics")
		after, _ := b.Machine.File("nes", neshost.WebConfig)
		at := strings.Index(after, url)
		if at < 0 {
			t.Fatalf("the file is %q, want %q in it", after, url)
		}
		head, tail := after[:at], after[at+len(url):]
		if !strings.HasPrefix(before, head) || !strings.HasSuffix(before, tail) {
			t.Errorf("the file is\n%q, was\n%q; want only the text of the setting changed", after, before)
		}
	})
}

// TestApprovals: what lowers protection or interrupts everybody needs somebody else's yes.
func TestApprovals(t *testing.T) {
	for _, c := range []struct {
		action sdk.Action
		given  map[string]string
		want   uint32
	}{
		{iisRestart{}, nil, 0},
		{iisRestart{}, params("mode", "restart"), 1},
		{crlHTTPAllow{}, nil, 1},
		{appPoolIdentitySet{}, params("pool", "NES", "identity", "LocalSystem"), 1},
		{appPoolIdentitySet{}, params("pool", "NES", "identity", "NetworkService"), 0},
		{verboseLogging{}, params("state", "on", "ttl", "1h"), 0},
		{adcsStart{}, nil, 0},
	} {
		resolved, err := rules.Resolve(c.action.Manifest(), c.given)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := rules.Approvals(c.action.Manifest(), resolved); got != c.want {
			t.Errorf("%s with %v needs %d approvals, want %d", c.action.Manifest().GetName(), c.given, got, c.want)
		}
	}
}
