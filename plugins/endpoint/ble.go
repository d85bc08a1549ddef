package main

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/bleservice"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// bleRestart restarts the Bluetooth Endpoint.
//
// An interrupted run is left to Verify: once the agent has made sure that the service runs, the recorded process id tells
// whether the restart came about. Running it again instead would interrupt people twice.
type bleRestart struct{}

func (bleRestart) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name:    "ble-restart",
		Version: "1.0.0",
		Summary: "Restart the Nymi Bluetooth Endpoint and prove that it runs",
		Description: "Use it when taps are not seen, presence is lost or error 3010 shows. It stops the service, starts it again and " +
			"watches it. With force_kill=true a service that does not stop has its process ended. It cannot prove that a tap works: ask the " +
			"user to tap once.",
		Params:      restartParams(modeRestart),
		BudgetRules: bleservice.Budget(),
		Capabilities: append(restartCapabilities(bleservice.Endpoint),
			sdk.ReadDevice(bleservice.AdapterVendor, bleservice.AdapterProduct),
			sdk.ReadFile(bleservice.Root, bleservice.ConfigFile),
			sdk.ReadFile(bleservice.Root, bleservice.TemplateFile),
			sdk.ProbeAgentURL(),
		),
		Repeatability: actionv1.Repeatability_REPEATABILITY_PROBE,
		Resources:     []string{"ble"},
		Disruptive:    true,
		Interrupts: "Taps, presence and enrolment on the terminal, usually for 5 to 30 seconds. After more than 25 seconds Lock When Away may " +
			"lock the user's session.",
		Undo:        "Nothing is configured, so there is nothing to put back. If it fails, the agent makes sure that the service runs; its startup type is never touched.",
		Verifies:    "The service runs as a new process and keeps running through stable_for; the Bluetooth adapter is present with problem code 0; the port of agent_url is reachable.",
		Source:      "Services > Nymi Bluetooth Endpoint > Restart",
		Roles:       []string{"user-terminal"},
		MaxDuration: durationpb.New(maxDuration),
	}
}

func (bleRestart) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	p, err := planRestart(ctx, r, bleservice.Endpoint, func() (string, error) { return "", nil })
	if err != nil || p.GetVerdict() == actionv1.PlanVerdict_PLAN_VERDICT_REFUSED {
		return p, err
	}
	adapter, devices, works := bleservice.AdapterState(ctx, r)
	r.Evidence("adapter before", "%s", adapter)
	if devices != 1 || !works {
		p.Warnings = append(p.Warnings, fmt.Sprintf("Bluetooth adapter: %s; want exactly one that works, so the restart alone may not help", adapter))
	}
	if _, err := bleservice.ReadAgentURL(ctx, r); err != nil {
		broken, ok := errors.AsType[*bleservice.ConfigError](err)
		if !ok {
			return nil, err
		}
		p.Warnings = append(p.Warnings, fmt.Sprintf("%v; success cannot be proven until it is repaired", broken))
	}
	return p, nil
}

func (bleRestart) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	return applyRestart(ctx, r, bleservice.Endpoint)
}

func (bleRestart) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	checks, err := verifyService(ctx, r, bleservice.Endpoint)
	if err != nil {
		return nil, err
	}
	adapter, _, works := bleservice.AdapterState(ctx, &r.Run)
	r.Evidence("adapter after", "%s", adapter)
	checks = append(checks, sdk.Check("the Bluetooth adapter works", "present, problem code 0", adapter, works))
	reachable, err := bleservice.VerifyReachable(ctx, &r.Run)
	if err != nil {
		return nil, err
	}
	v := sdk.Verdict(append(checks, reachable)...)
	v.NextStep = bleNextStep(r, works, reachable.GetOk(), bleservice.AllHold(checks))
	return v, nil
}

// bleNextStep is what a person does next, worst first.
func bleNextStep(r *sdk.VerifyRun, adapterWorks, reachable, serviceHolds bool) string {
	ended := r.Effect(bleservice.EffectEnd)
	switch {
	case !adapterWorks && ended.GetChanged():
		return "the process was ended while it used the Bluetooth adapter, which can leave the adapter in a wrong state: unplug the adapter and plug it in again"
	case !adapterWorks:
		return "plug the Bluetooth adapter in, or unplug it and plug it in again; if it stays like this, replace it"
	case !serviceHolds:
		return "look at the service's entries in the event log of this terminal; if it keeps ending, reinstall the Nymi Runtime"
	case !reachable:
		return "see that the Nymi Agent that agent_url names is running (action nymi-agent-restart on that machine) and that the network lets the terminal reach it"
	default:
		return ""
	}
}
