package sdktest

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const spooler = "Print Spooler"

func goodManifest() *actionv1.Action {
	return &actionv1.Action{
		Name: "spooler-start", Version: "1.0.0", Summary: "Start it", Description: "Start it.", Undo: "None.", Verifies: "It runs.",
		Source: "own", Roles: []string{"user-terminal"}, Resources: []string{"spooler"}, MaxDuration: durationpb.New(time.Minute),
		Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE,
		Params: []*actionv1.Param{
			sdk.Duration("wait", 10*time.Second, 5*time.Second, time.Minute, "how long"),
			sdk.Bool("long", false, "allow it"),
		},
		BudgetRules:  []*actionv1.BudgetRule{{Params: []string{"wait"}, Max: durationpb.New(20 * time.Second), Unless: "long", Reason: "it is long"}},
		Capabilities: []*actionv1.Capability{sdk.ReadService(spooler), sdk.ControlService(spooler)},
	}
}

// TestManifestProblems spoils a good manifest in one place at a time: the suite must see each.
func TestManifestProblems(t *testing.T) {
	if problems := ManifestProblems(goodManifest()); len(problems) != 0 {
		t.Fatalf("a good manifest has problems: %v", problems)
	}
	for name, c := range map[string]struct {
		spoil func(*actionv1.Action)
		want  string
	}{
		"name":               {func(a *actionv1.Action) { a.Name = "Spooler Start" }, "lower case words"},
		"version":            {func(a *actionv1.Action) { a.Version = "one" }, "semantic"},
		"no summary":         {func(a *actionv1.Action) { a.Summary = " " }, "summary is empty"},
		"long summary":       {func(a *actionv1.Action) { a.Summary = "a\nb" }, "more than one line"},
		"no undo":            {func(a *actionv1.Action) { a.Undo = "" }, "undo is empty"},
		"silent disruption":  {func(a *actionv1.Action) { a.Disruptive = true }, "what it interrupts"},
		"no resource":        {func(a *actionv1.Action) { a.Resources = nil }, "names no resource"},
		"repeatability":      {func(a *actionv1.Action) { a.Repeatability = 0 }, "repeatability"},
		"no duration":        {func(a *actionv1.Action) { a.MaxDuration = nil }, "max_duration"},
		"endless":            {func(a *actionv1.Action) { a.MaxDuration = durationpb.New(48 * time.Hour) }, "max_duration"},
		"no role":            {func(a *actionv1.Action) { a.Roles = nil }, "at least one"},
		"unknown role":       {func(a *actionv1.Action) { a.Roles = []string{"toaster"} }, `role "toaster"`},
		"parameter's name":   {func(a *actionv1.Action) { a.Params[0].Name = "stop-timeout" }, "underscores"},
		"parameter twice":    {func(a *actionv1.Action) { a.Params = append(a.Params, a.Params[0]) }, "there twice"},
		"no help":            {func(a *actionv1.Action) { a.Params[0].Help = "" }, "no help"},
		"default too great":  {func(a *actionv1.Action) { a.Params[0].DefaultValue = "2m0s" }, "default is 2m0s"},
		"default's form":     {func(a *actionv1.Action) { a.Params[0].DefaultValue = "10000ms" }, "not canonical"},
		"enum of nothing":    {func(a *actionv1.Action) { a.Params[1].Type = actionv1.ParamType_PARAM_TYPE_ENUM }, "no choices"},
		"required default":   {func(a *actionv1.Action) { a.Params[0].Required = true }, "required and has a default"},
		"budget of nothing":  {func(a *actionv1.Action) { a.BudgetRules[0].Params = []string{"weight"} }, "no duration parameter"},
		"budget's lift":      {func(a *actionv1.Action) { a.BudgetRules[0].Unless = "wait" }, "no boolean parameter"},
		"budget's reason":    {func(a *actionv1.Action) { a.BudgetRules[0].Reason = "" }, "no reason"},
		"capability's kind":  {func(a *actionv1.Action) { a.Capabilities[0].Kind = 0 }, "has no kind"},
		"capability of none": {func(a *actionv1.Action) { a.Capabilities[0].Object = "" }, "want an object exactly when its kind has one"},
		"capability twice":   {func(a *actionv1.Action) { a.Capabilities = append(a.Capabilities, a.Capabilities[0]) }, "there twice"},
		"reads and controls": {func(a *actionv1.Action) { a.ReadOnly = true }, "it is read-only and declares"},
	} {
		t.Run(name, func(t *testing.T) {
			a := goodManifest()
			c.spoil(a)
			if got := strings.Join(ManifestProblems(a), "\n"); !strings.Contains(got, c.want) {
				t.Errorf("problems = %q, want %q among them", got, c.want)
			}
		})
	}
}

func TestPlanProblems(t *testing.T) {
	start := sdk.Planned("start", sdk.StartService(spooler, time.Second), "stopped", "running")
	for name, c := range map[string]struct {
		plan *actionv1.Plan
		want string
	}{
		"nothing to do":     {sdk.Ready(), "has effects when it is ready"},
		"mute":              {sdk.NoChange(""), "does not say why"},
		"dead end":          {sdk.Refuse("no", ""), "what to do next"},
		"same id":           {sdk.Ready(start, start), "there twice"},
		"nothing said":      {sdk.Ready(sdk.Planned("start", sdk.StartService(spooler, time.Second), "", "")), "before and after"},
		"another service":   {sdk.Ready(sdk.Planned("start", sdk.StartService("Other", time.Second), "a", "b")), "did not declare"},
		"killing":           {sdk.Ready(sdk.Planned("kill", sdk.KillService(spooler, time.Second), "a", "b")), "did not declare"},
		"refusal with deed": {&actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_REFUSED, Reason: "a", NextStep: "b", Effects: []*actionv1.PlannedEffect{start}}, "has effects when"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(planProblems(goodManifest(), c.plan), "\n"); !strings.Contains(got, c.want) {
				t.Errorf("problems = %q, want %q among them", got, c.want)
			}
		})
	}
	if problems := planProblems(goodManifest(), sdk.Ready(start)); len(problems) != 0 {
		t.Errorf("a good plan has problems: %v", problems)
	}
}

// TestCallsRefuse holds that the suite's machine refuses what the agent would.
func TestCallsRefuse(t *testing.T) {
	plan := sdk.Ready(sdk.Planned("start", sdk.StartService(spooler, time.Second), "stopped", "running"))
	ask := func(id, service string) *actionv1.EffectRequest {
		return &actionv1.EffectRequest{PlanId: id, Effect: sdk.StartService(service, time.Second)}
	}
	inPhase := func(plan *actionv1.Plan) *calls {
		return &calls{machine: &Machine{AgentURL: "127.0.0.1:9120"}, action: goodManifest(), plan: plan}
	}
	for name, try := range map[string]func(context.Context) error{
		"outside apply": func(ctx context.Context) error { _, err := inPhase(nil).Effect(ctx, ask("start", spooler)); return err },
		"not planned":   func(ctx context.Context) error { _, err := inPhase(plan).Effect(ctx, ask("stop", spooler)); return err },
		"altered": func(ctx context.Context) error {
			_, err := inPhase(plan).Effect(ctx, ask("start", "Other"))
			return err
		},
		"twice": func(ctx context.Context) error {
			c := inPhase(plan)
			if _, err := c.Effect(ctx, ask("start", spooler)); err != nil {
				t.Errorf("the planned effect was refused: %v", err)
			}
			_, err := c.Effect(ctx, ask("start", spooler))
			return err
		},
		"undeclared query": func(ctx context.Context) error {
			_, err := inPhase(plan).Query(ctx, &actionv1.Query{Query: &actionv1.Query_Host{Host: &actionv1.HostQuery{}}})
			return err
		},
		"another address": func(ctx context.Context) error {
			c := inPhase(plan)
			c.action.Capabilities = append(c.action.Capabilities, sdk.ProbeAgentURL())
			_, err := c.Query(ctx, &actionv1.Query{Query: &actionv1.Query_TcpProbe{TcpProbe: &actionv1.TCPProbe{Host: "127.0.0.1", Port: 22}}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := try(t.Context()); err == nil || !strings.Contains(err.Error(), errRefused.Error()) {
				t.Errorf("error = %v, want a refusal", err)
			}
		})
	}
}

func TestMachineObeys(t *testing.T) {
	m := &Machine{Services: map[string]*actionv1.ServiceState{
		spooler: {Service: spooler, Installed: true, Status: actionv1.ServiceStatus_SERVICE_STATUS_RUNNING, Pid: 7},
	}, Fail: map[string]string{"start-1": "out of paper"}}
	stop := m.effect("stop", sdk.StopService(spooler, time.Second))
	if stop.GetError() != "" || !stop.GetChanged() || m.service(spooler).GetPid() != 0 {
		t.Errorf("stop = %v, want the service stopped", stop)
	}
	if rec := m.effect("start-1", sdk.StartService(spooler, time.Second)); rec.GetError() != "out of paper" || rec.GetChanged() {
		t.Errorf("start = %v, want that it failed as told and changed nothing", rec)
	}
	start := m.effect("start-2", sdk.StartService(spooler, time.Second))
	if pid := m.service(spooler).GetPid(); start.GetError() != "" || pid == 0 || pid == 7 {
		t.Errorf("start = %v, want the service running as a new process", start)
	}
	if again := m.effect("start-3", sdk.StartService(spooler, time.Second)); again.GetChanged() || !proto.Equal(again.GetBefore(), again.GetAfter()) {
		t.Errorf("start of what runs = %v, want no change", again)
	}
	if m.Changes() != 4 {
		t.Errorf("%d changes counted, want 4", m.Changes())
	}
}
