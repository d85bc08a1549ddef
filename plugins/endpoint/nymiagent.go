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

// nymiAgentRestart starts or restarts the Nymi Agent of the terminal it runs on.
//
// An interrupted run is left to Verify, for the reason given at bleRestart.
type nymiAgentRestart struct{}

func (nymiAgentRestart) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name:    "nymi-agent-restart",
		Version: "1.0.0",
		Summary: "Make sure that the Nymi Agent runs, or restart it, and prove that it answers",
		Description: "By default it starts the Nymi Agent if it is stopped, restarts it if it runs but does not answer, and else leaves it alone; " +
			"mode=restart always restarts it. It refuses when agent_url in nbe.toml names another machine: the Nymi Agent is there then. Afterwards " +
			"the user must close the Nymi Band Application and open it again.",
		Params:      restartParams(modeEnsure),
		BudgetRules: bleservice.Budget(),
		Capabilities: append(restartCapabilities(bleservice.NymiAgent),
			sdk.ReadService(bleservice.Endpoint),
			sdk.ReadFile(bleservice.Root, bleservice.ConfigFile),
			sdk.ReadFile(bleservice.Root, bleservice.TemplateFile),
			sdk.ReadHost(),
			sdk.ProbeAgentURL(),
		),
		Repeatability: actionv1.Repeatability_REPEATABILITY_PROBE,
		Resources:     []string{"nymi-agent"},
		Disruptive:    true,
		Interrupts: "All Nymi applications on the terminal, usually for 5 to 30 seconds; on a machine that serves other terminals, those of every " +
			"terminal attached to it.",
		Undo:        "Nothing is configured, so there is nothing to put back. If it fails, the agent makes sure that the service runs; its startup type is never touched.",
		Verifies:    "The service runs (as a new process after a restart) and keeps running through stable_for; the host and port of agent_url take connections.",
		Source:      "Services > Nymi Agent",
		Roles:       []string{"user-terminal", "nes-host"},
		MaxDuration: durationpb.New(maxDuration),
	}
}

func (nymiAgentRestart) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	url, refusal, err := localAgentURL(ctx, r)
	if err != nil || refusal != nil {
		return refusal, err
	}
	return planRestart(ctx, r, bleservice.NymiAgent, func() (string, error) { return agentHangs(ctx, r, url) })
}

// localAgentURL reads agent_url and refuses when the Nymi Agent to restart is not on this machine.
func localAgentURL(ctx context.Context, r *sdk.Run) (bleservice.AgentURL, *actionv1.Plan, error) {
	url, err := bleservice.ReadAgentURL(ctx, r)
	if broken, ok := errors.AsType[*bleservice.ConfigError](err); ok {
		return url, sdk.Refuse(fmt.Sprintf("it is not known where the Nymi Agent is: %v", broken),
			fmt.Sprintf("repair %s on this terminal (it can be copied from %s), then run this again", bleservice.ConfigFile, bleservice.TemplateFile)), nil
	}
	if err != nil {
		return url, nil, err
	}
	r.Evidence("agent_url", "%s (%s)", url.Text, url.Source)
	host, err := r.Host(ctx)
	if err != nil {
		return url, nil, err
	}
	if !url.PointsHere(host) {
		return url, sdk.Refuse(fmt.Sprintf("this terminal uses the Nymi Agent on %q, not one of its own", url.Host),
			fmt.Sprintf("run nymi-agent-restart on %s; every terminal attached to it is interrupted", url.Host)), nil
	}
	return url, nil, nil
}

// agentHangs says why a running Nymi Agent counts as hung.
func agentHangs(ctx context.Context, r *sdk.Run, url bleservice.AgentURL) (string, error) {
	p, err := bleservice.Probe(ctx, r, url)
	if err != nil || p.GetReachable() {
		return "", err
	}
	return fmt.Sprintf("it runs but %s does not take connections (%s)", url.Address(), p.GetReason()), nil
}

func (nymiAgentRestart) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	return applyRestart(ctx, r, bleservice.NymiAgent)
}

func (nymiAgentRestart) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	checks, err := verifyService(ctx, r, bleservice.NymiAgent)
	if err != nil {
		return nil, err
	}
	reachable, err := bleservice.VerifyReachable(ctx, &r.Run)
	if err != nil {
		return nil, err
	}
	endpoint, err := r.Service(ctx, bleservice.Endpoint)
	if err != nil {
		return nil, err
	}
	r.Evidence("endpoint", "%s", bleservice.StateText(endpoint))
	v := sdk.Verdict(append(checks, reachable)...)
	v.NextStep = agentNextStep(r, endpoint, bleservice.AllHold(v.GetChecks()))
	return v, nil
}

// agentNextStep is what a person does next. The applications keep their old connection, so they must be opened anew; the
// endpoint may have to find the new process.
func agentNextStep(r *sdk.VerifyRun, endpoint *actionv1.ServiceState, good bool) string {
	if !good {
		return "look at the Nymi Agent's entries in the event log of this machine; if it keeps failing, reinstall the Nymi Runtime with the Nymi Agent selected"
	}
	var step string
	if len(r.Effects()) > 0 {
		step = "the user must close the Nymi Band Application and open it again"
	}
	if endpoint.GetInstalled() && !bleservice.Running(endpoint) {
		if step != "" {
			step += "; "
		}
		step += fmt.Sprintf("%q is %s: run ble-restart on this terminal", bleservice.Endpoint, bleservice.StatusWord(endpoint))
	}
	return step
}
