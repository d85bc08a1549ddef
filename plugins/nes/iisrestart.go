package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/rights"
)

// Values of the parameter mode.
const (
	modeEnsure  = "ensure-running"
	modeRestart = "restart"
	modeRecycle = "recycle"
)

// Ids of the planned effects on the activation service.
const (
	effectStopActivation       = "stop-was"
	effectStartActivation      = "start-was"
	effectStartActivationAgain = "start-was-again"
)

// iisRestart makes the web server of a NES host run, or restarts it.
//
// An interrupted run is left to Verify: the agent has seen to it that the services run, and a second restart would interrupt people twice.
type iisRestart struct{}

func (iisRestart) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name:    "iis-restart",
		Version: "1.0.0",
		Summary: "Make sure that IIS and the NES applications run, or restart them",
		Description: "By default it starts what is stopped: the services WAS and W3SVC, the web sites and the application pools of NES; what runs is left alone. " +
			"mode=restart stops and starts both services, whatever they do. mode=recycle has application pools start new worker processes, without a gap.",
		Params: []*actionv1.Param{
			sdk.Enum("mode", modeEnsure, "ensure-running: start what is stopped; restart: stop and start the services; recycle: new worker processes", modeEnsure, modeRestart, modeRecycle),
			sdk.Text("pool", "", "application pool to recycle; all pools of NES unless given", 128, poolPattern, poolWords),
			sdk.Duration("timeout", time.Minute, 5*time.Second, 5*time.Minute, "how long a service may take to stop, and to start"),
			sdk.Duration("stable_for", time.Minute, 10*time.Second, 5*time.Minute, "how long the services must keep running before success is claimed"),
		},
		WhenRules: []*actionv1.WhenRule{
			{Param: "mode", Value: modeRestart, Approvals: 1, Reason: "it interrupts everybody who uses this NES host"},
			{Param: "mode", Value: modeRecycle, Approvals: 1, Reason: "it ends the worker processes of a NES host that runs"},
		},
		Capabilities: append([]*actionv1.Capability{
			sdk.ReadService(neshost.WebService), sdk.ControlService(neshost.WebService),
			sdk.ReadService(neshost.ActivationService), sdk.ControlService(neshost.ActivationService),
			sdk.WriteIIS(rights.RunIIS),
		}, probeCapabilities()...),
		Repeatability: actionv1.Repeatability_REPEATABILITY_PROBE,
		Resources:     []string{"iis"},
		Disruptive:    true,
		Interrupts:    "All that this NES host does, for 15 to 60 seconds, with mode=restart; with ensure-running nothing that runs.",
		Undo:          "Nothing is configured, so there is nothing to put back. If it fails, the agent makes sure that services run that ran before.",
		Verifies:      "WAS and W3SVC keep running through stable_for; the sites and pools of NES are started; the three applications answer without 5xx, where the host's address is known.",
		Source:        "Troubleshooting NES Administrator Console connection issues > This site can't be reached; NES Installation Messages",
		Roles:         []string{neshost.Role},
		MaxDuration:   durationpb.New(45 * time.Minute),
	}
}

func (iisRestart) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	if r.IsSet("pool") && r.String("mode") != modeRecycle {
		return sdk.Refuse("pool was given, and only mode=recycle is about pools", "leave pool out, or give mode=recycle"), nil
	}
	web, activation, refusal, err := webServices(ctx, r)
	if err != nil || refusal != nil {
		return refusal, err
	}
	inv, err := r.IIS(ctx)
	if err != nil {
		return nil, err
	}
	apps := neshost.Applications(inv)
	switch r.String("mode") {
	case modeRestart:
		return sdk.Ready(slices.Concat(planStops(r, web, activation), planStarts(r, web, activation, true), planRuns(apps, inv, true))...), nil
	case modeRecycle:
		return planRecycleOf(r, web, inv, apps), nil
	}
	effects := slices.Concat(planStarts(r, web, activation, false), planRuns(apps, inv, !running(web)))
	if !slices.ContainsFunc(effects, func(p *actionv1.PlannedEffect) bool { return p.GetOnlyIf() == "" }) {
		return sdk.NoChange("IIS runs, and so do the sites and pools of NES"), nil
	}
	return sdk.Ready(effects...), nil
}

// webServices reads both services and refuses when one cannot be started.
func webServices(ctx context.Context, r *sdk.Run) (web, activation *actionv1.ServiceState, refusal *actionv1.Plan, err error) {
	if web, err = r.Service(ctx, neshost.WebService); err != nil {
		return nil, nil, nil, err
	}
	if activation, err = r.Service(ctx, neshost.ActivationService); err != nil {
		return nil, nil, nil, err
	}
	for _, s := range []*actionv1.ServiceState{activation, web} {
		if refusal := notStartable(s); refusal != nil {
			return nil, nil, refusal, nil
		}
	}
	return web, activation, nil, nil
}

func notStartable(s *actionv1.ServiceState) *actionv1.Plan {
	switch {
	case !s.GetInstalled():
		return sdk.Refuse(fmt.Sprintf("service %s is not installed on this terminal", s.GetService()), "run this on the host that has it, or install it there first")
	case s.GetDisabled():
		return sdk.Refuse(fmt.Sprintf("service %s is disabled on this terminal", s.GetService()),
			"find out who disabled it and why; set its startup type to Automatic, then run this again")
	default:
		return nil
	}
}

// planStops stops what runs; the web service first, which needs the other one.
func planStops(r *sdk.Run, web, activation *actionv1.ServiceState) []*actionv1.PlannedEffect {
	var effects []*actionv1.PlannedEffect
	timeout := r.Duration("timeout")
	if !stopped(web) {
		effects = append(effects, sdk.Planned(effectStopWeb, sdk.StopService(neshost.WebService, timeout), stateText(web), "stopped"))
	}
	if !stopped(activation) {
		effects = append(effects, sdk.Planned(effectStopActivation, sdk.StopService(neshost.ActivationService, timeout), stateText(activation), "stopped"))
	}
	return effects
}

// planStarts starts both services, or only those that do not run.
func planStarts(r *sdk.Run, web, activation *actionv1.ServiceState, both bool) []*actionv1.PlannedEffect {
	var effects []*actionv1.PlannedEffect
	if both || !running(activation) {
		effects = append(effects, tries(activation, r.Duration("timeout"), effectStartActivation, effectStartActivationAgain)...)
	}
	if both || !running(web) {
		effects = append(effects, tries(web, r.Duration("timeout"), effectStartWeb, effectStartWebAgain)...)
	}
	return effects
}

// tries is a start and the one further try that a failed start gets.
func tries(s *actionv1.ServiceState, timeout time.Duration, first, again string) []*actionv1.PlannedEffect {
	start := sdk.StartService(s.GetService(), timeout)
	return []*actionv1.PlannedEffect{
		sdk.Planned(first, start, "not running", "running"),
		sdk.OnlyIf("the first start fails", sdk.Planned(again, start, "stopped", "running")),
	}
}

func (iisRestart) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	for _, id := range []string{effectStopWeb, effectStopActivation} {
		if r.Planned(id) == nil {
			continue
		}
		if err := r.MustDo(ctx, id); err != nil {
			return err
		}
	}
	if r.Planned(effectStartActivation) != nil {
		if err := startTwice(ctx, r, neshost.ActivationService, effectStartActivation, effectStartActivationAgain); err != nil {
			return err
		}
	}
	if r.Planned(effectStartWeb) != nil {
		if err := startTwice(ctx, r, neshost.WebService, effectStartWeb, effectStartWebAgain); err != nil {
			return err
		}
	}
	return applyRuns(ctx, r)
}

func (iisRestart) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	var checks []*actionv1.Check
	for _, service := range []string{neshost.ActivationService, neshost.WebService} {
		c, err := checkRuns(ctx, &r.Run, service, r.Duration("stable_for"))
		if err != nil {
			return nil, err
		}
		checks = append(checks, c)
	}
	checks = append(checks, checkAsked(r)...)
	inv, err := r.IIS(ctx)
	if err != nil {
		return nil, err
	}
	apps := neshost.Applications(inv)
	checks = append(checks, checkStarted(inv, apps)...)
	answers, byHand, err := checkAnswers(ctx, &r.Run, apps)
	if err != nil {
		return nil, err
	}
	v := sdk.Verdict(append(checks, answers...)...)
	v.NextStep = byHand
	if !allHold(v.GetChecks()) {
		v.NextStep = "look at the entries of W3SVC, WAS and the application pools in the System event log of this host"
	}
	return v, nil
}

// checkAsked checks that a restart or a recycling that was asked for was done.
func checkAsked(r *sdk.VerifyRun) []*actionv1.Check {
	switch r.String("mode") {
	case modeRestart:
		return []*actionv1.Check{checkDone(r, neshost.WebService+" was restarted", effectStartWeb, effectStartWebAgain)}
	case modeRecycle:
		recycled := slices.ContainsFunc(r.Effects(), func(e *actionv1.RecordedEffect) bool {
			return e.GetEffect().GetIisRecycle() != nil && e.GetError() == ""
		})
		observed := "none was"
		if recycled {
			observed = "done"
		}
		return []*actionv1.Check{sdk.Check("pools were recycled", "done", observed, recycled)}
	default:
		return nil
	}
}
