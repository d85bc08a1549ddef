package runnertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tap changes one value of nbe.toml with the Bluetooth Endpoint stopped meanwhile, for a time when ttl is set, and may start the machine again
// after it.
type tap struct {
	repeatability actionv1.Repeatability
	ttl           time.Duration
	reboot        bool
	// asks has a person confirm first.
	asks bool
	// fails has the verification fail.
	fails bool
}

const (
	service = host.EndpointService
	toml    = actionv1.ConfigFormat_CONFIG_FORMAT_TOML
	before  = "rssi_tap_threshold = 0 # off\n"
)

func (a tap) Manifest() *actionv1.Action {
	capabilities := []*actionv1.Capability{sdk.ControlService(service), sdk.ReadConfig(host.EndpointRoot, "nbe.toml"), sdk.EditConfig(host.EndpointRoot, "nbe.toml")}
	if a.ttl > 0 {
		capabilities = append(capabilities, sdk.UseLeases(), sdk.ControlService(host.AgentService))
	}
	if a.reboot {
		capabilities = append(capabilities, sdk.RebootMachine(), sdk.ReadHost())
	}
	if a.asks {
		capabilities = append(capabilities, sdk.AskPerson())
	}
	return &actionv1.Action{
		Name: "tap", Repeatability: a.repeatability, Resources: []string{"host"}, MaxDuration: durationpb.New(time.Hour), Capabilities: capabilities,
	}
}

func (a tap) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	edit := sdk.ConfigEdit(host.EndpointRoot, "nbe.toml", toml, sdk.Change("rssi_tap_threshold", new("0"), new("-42")))
	if a.ttl > 0 {
		edit = sdk.Leased(edit, a.ttl, host.AgentService)
	}
	var effects []*actionv1.PlannedEffect
	if a.asks {
		effects = append(effects, sdk.Planned("ask", sdk.Confirm("is nobody at work?", time.Minute), "", ""))
	}
	effects = append(effects,
		sdk.Planned("stop", sdk.StopService(service, 10*time.Second), "", ""),
		sdk.Planned("edit", edit, "0", "-42"),
		sdk.Planned("start", sdk.StartService(service, 10*time.Second), "", ""))
	if a.reboot {
		h, err := r.Host(ctx)
		if err != nil {
			return nil, err
		}
		effects = append(effects, sdk.Planned("reboot", sdk.Reboot(time.Minute, "soon", h.GetBootId(), 10*time.Minute), "", ""))
	}
	return sdk.Ready(effects...), nil
}

func (a tap) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	for _, e := range r.Plan().GetEffects() {
		if err := r.MustDo(ctx, e.GetId()); err != nil {
			return err
		}
	}
	return nil
}

func (a tap) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	c, err := r.Config(ctx, host.EndpointRoot, "nbe.toml", toml)
	if err != nil {
		return nil, err
	}
	value := "not there"
	for _, v := range c.GetValues() {
		if v.GetKey() == "rssi_tap_threshold" {
			value = v.GetValue()
		}
	}
	return sdk.Verdict(sdk.Check("threshold", "-42", value, value == "-42" && !a.fails)), nil
}

func machine() *hosttest.Memory {
	m := hosttest.NewMemory()
	m.SetFile(host.EndpointRoot, "nbe.toml", before)
	return m
}

func file(t *testing.T, m *hosttest.Memory) string {
	t.Helper()
	content, _, err := m.Host().Files.Read(context.Background(), host.EndpointRoot, "nbe.toml", 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestCrash goes through an action of each kind that the harness treats in its own way.
func TestCrash(t *testing.T) {
	const (
		repeatable = actionv1.Repeatability_REPEATABILITY_REPEATABLE
		probe      = actionv1.Repeatability_REPEATABILITY_PROBE
		oneShot    = actionv1.Repeatability_REPEATABILITY_ONE_SHOT
	)
	yes := func(*agentv1.Question) *agentv1.Answer { return &agentv1.Answer{Confirmed: true, By: "ada"} }
	for name, c := range map[string]Case{
		"repeatable":                        {Action: tap{repeatability: repeatable}},
		"probe":                             {Action: tap{repeatability: probe}, Twice: true},
		"one-shot":                          {Action: tap{repeatability: oneShot}},
		"a change with an end":              {Action: tap{repeatability: probe, ttl: 10 * time.Minute}, ToLeaseEnd: true, Check: wantBefore},
		"a repeatable change with an end":   {Action: tap{repeatability: repeatable, ttl: 10 * time.Minute}, ToLeaseEnd: true, Check: wantBefore},
		"a start of the machine":            {Action: tap{repeatability: probe, reboot: true}},
		"a repeatable start of the machine": {Action: tap{repeatability: repeatable, reboot: true}, May: []actionv1.TaskStatus{actionv1.TaskStatus_TASK_STATUS_SUCCEEDED, actionv1.TaskStatus_TASK_STATUS_FAILED}},
		"a question":                        {Action: tap{repeatability: repeatable, asks: true}, Setup: Setup{Person: yes}},
		"a verification that does not hold": {Action: tap{repeatability: probe, fails: true}, Check: wantBefore},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.Setup.Machine = machine
			Crash(t, c)
		})
	}
}

func wantBefore(t *testing.T, m *hosttest.Memory, res *actionv1.TaskResult) {
	t.Helper()
	if got := file(t, m); got != before {
		t.Errorf("nbe.toml holds %q after %s, want %q", got, res.GetStatus(), before)
	}
}

// TestBenchGoesOnAfterAStartOfTheMachine: the agent is started again with it.
func TestBenchGoesOnAfterAStartOfTheMachine(t *testing.T) {
	In(t, Setup{Plugins: Actions(tap{repeatability: actionv1.Repeatability_REPEATABILITY_PROBE, reboot: true}), Machine: machine}, func(b *Bench) {
		o := b.Run("tap", nil).Want(actionv1.TaskStatus_TASK_STATUS_SUCCEEDED)
		if boot := o.EffectOf("reboot").GetAfter().GetBoot().GetBootId(); boot != "boot-2" {
			t.Errorf("the record of the start has the boot %q after it, want boot-2", boot)
		}
	})
}

// TestBenchTellsWhatCameOfIt: an undo is in the outcome, and the machine is as before.
func TestBenchTellsWhatCameOfIt(t *testing.T) {
	In(t, Setup{Plugins: Actions(tap{repeatability: actionv1.Repeatability_REPEATABILITY_PROBE, fails: true}), Machine: machine}, func(b *Bench) {
		b.DryRun("tap", nil).Want(actionv1.TaskStatus_TASK_STATUS_SUCCEEDED)
		if calls := b.Machine.Calls(); len(calls) > 0 {
			t.Errorf("a dry run has told the machine to %v", calls)
		}
		b.Run("tap", nil).Want(actionv1.TaskStatus_TASK_STATUS_FAILED).WantReason("threshold").
			WantUndone("nbe.toml", actionv1.UndoOutcome_UNDO_OUTCOME_DONE).WantUndone(fmt.Sprintf("%q", service), actionv1.UndoOutcome_UNDO_OUTCOME_DONE)
		if got := file(t, b.Machine); got != before {
			t.Errorf("nbe.toml holds %q, want it as before", got)
		}
	})
}
