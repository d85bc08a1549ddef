package main

import (
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/bleservice"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

func TestHostRebootOutcomes(t *testing.T) {
	active := func(m *hosttest.Memory) { m.SignIn("eva", actionv1.UserActivity_USER_ACTIVITY_ACTIVE) }
	checkOutcomes(t, "host-reboot", map[string]outcome{
		"quiet":       {params: values("reason", "maintenance"), want: succeeded},
		"at once":     {params: values("reason", "maintenance", "delay", "0s", "notify_user", "false"), want: succeeded},
		"no reason":   {want: taskRefused, reason: "is required", calls: []string{}},
		"user active": {params: values("reason", "other"), arrange: active, want: taskRefused, reason: "at work at this machine: eva", next: "allow_active_session", calls: []string{}},
		"user active, allowed": {
			params: values("reason", "other", "allow_active_session", "true"), arrange: active, want: succeeded, warning: "at work at this machine: eva",
		},
		"nothing pending": {params: values("reason", "pending-reboot", "only_if_pending", "true"), want: unchanged, calls: []string{}},
		"pending": {
			params: values("reason", "pending-reboot", "only_if_pending", "true"), want: succeeded,
			arrange: func(m *hosttest.Memory) {
				m.SetDetail(func(d *actionv1.MachineState) {
					d.RebootPending, d.RebootReasons = true, []string{"component based servicing"}
				})
			},
		},
		"the endpoint does not come back": {
			params: values("reason", "maintenance"), want: failed, reason: "runs again", next: "event log",
			arrange: func(m *hosttest.Memory) { m.Install(bleservice.Endpoint, hosttest.Script{Disabled: true}) },
		},
		"the endpoint did not run before": {
			params: values("reason", "maintenance"), want: succeeded,
			arrange: func(m *hosttest.Memory) {
				m.StopNow(bleservice.Endpoint)
				m.Install(bleservice.Endpoint, hosttest.Script{Disabled: true})
			},
		},
		"the machine does not want to": {
			params: values("reason", "maintenance", "back_within", "2m0s"), want: failed, reason: "does not want to",
			arrange: func(m *hosttest.Memory) { m.Interpose(refuse("reboot")) },
		},
	})
}

// TestPeopleAreTold holds that the message to people at the machine says when, and asks them to save their work.
func TestPeopleAreTold(t *testing.T) {
	runnertest.In(t, setup(site()), func(b *runnertest.Bench) {
		res := b.DryRun("host-reboot", values("reason", "maintenance", "delay", "5m"))
		said := res.GetPlan().GetEffects()[0].GetEffect().GetReboot().GetMessage()
		if !strings.Contains(said, "restarts in 5m0s") || !strings.Contains(said, "save your work") {
			t.Errorf("people are told %q, want when it restarts and to save their work", said)
		}
	})
}
