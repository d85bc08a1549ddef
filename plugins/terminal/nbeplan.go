package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/bleservice"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// What the two actions on nbe.toml have in common.

// agentProbeTimeout is how long the site's Nymi Agent may take to take a connection.
const agentProbeTimeout = 5 * time.Second

func nbeCommonParams() []*actionv1.Param {
	params := []*actionv1.Param{
		sdk.Bool("backup", true, "keep the present nbe.toml beside it, under a name with its hash"),
		sdk.Bool("restart", true, "restart the endpoint when something changed; it reads nbe.toml only when it starts"),
	}
	return append(append(params, bleservice.Timing()...), bleservice.AllowInSession())
}

func nbeCapabilities() []*actionv1.Capability {
	return []*actionv1.Capability{
		sdk.ReadConfig(bleservice.Root, "*"),
		sdk.EditConfig(bleservice.Root, bleservice.ConfigFile),
		sdk.WriteFile(bleservice.Root, bleservice.ConfigFile),
		sdk.WriteFile(bleservice.Root, backups),
		sdk.ReadService(bleservice.Endpoint),
		sdk.ControlService(bleservice.Endpoint),
		sdk.ReadFile(bleservice.Root, bleservice.ConfigFile),
		sdk.ReadFile(bleservice.Root, bleservice.TemplateFile),
		sdk.ProbeAgentURL(),
		sdk.ProbeInventory(),
		sdk.ReadSite(),
	}
}

// nbeAction fills in what the two say alike.
func nbeAction(a *actionv1.Action) *actionv1.Action {
	a.Params = append(a.GetParams(), nbeCommonParams()...)
	a.BudgetRules = bleservice.Budget()
	a.Capabilities = nbeCapabilities()
	// What a run that was interrupted had changed is put back, so it may begin again.
	a.Repeatability = actionv1.Repeatability_REPEATABILITY_REPEATABLE
	a.Resources = []string{"ble"}
	a.Disruptive = true
	a.Interrupts = "Taps, presence and enrolment on the terminal, usually for 5 to 30 seconds, when something changes and restart=true. After more than " +
		"25 seconds Lock When Away may lock the user's session."
	a.Undo = "The earlier nbe.toml comes back byte for byte, or is removed if there was none, and the endpoint runs again. What somebody else changed " +
		"meanwhile is left alone and reported."
	a.Source = "Troubleshooting Bluetooth Issues > Editing the nbe.toml File"
	a.Roles = []string{"user-terminal"}
	a.MaxDuration = durationpb.New(nbeMaxDuration)
	return a
}

// planFiles puts effects on nbe.toml into a plan: the earlier file is kept, and the endpoint is stopped before and started after, so that
// undoing in reverse order puts the file back before the endpoint starts again.
func planFiles(ctx context.Context, r *sdk.Run, file *actionv1.ConfigState, changes ...*actionv1.PlannedEffect) (*actionv1.Plan, error) {
	if refusal := notKeepable(file); refusal != nil {
		return refusal, nil
	}
	effects, err := planBackup(ctx, r, file)
	if err != nil {
		return nil, err
	}
	if !r.Bool("restart") {
		p := sdk.Ready(append(effects, changes...)...)
		p.Warnings = append(p.Warnings, "restart=false: the endpoint reads nbe.toml only when it starts, so nothing changes for users until then")
		return p, nil
	}
	state, err := r.Service(ctx, bleservice.Endpoint)
	if err != nil {
		return nil, err
	}
	if refusal := bleservice.NotStartable(state); refusal != nil {
		return refusal, nil
	}
	restart := bleservice.RestartOf(r, bleservice.Endpoint)
	if !bleservice.Stopped(state) {
		effects = append(effects, restart.Stop(state)...)
	}
	p := sdk.Ready(append(append(effects, changes...), restart.Start()...)...)
	p.Warnings = restart.LongInterruption()
	return p, nil
}

// applyFiles carries out a plan of planFiles.
func applyFiles(ctx context.Context, r *sdk.ApplyRun) error {
	if err := doPlanned(ctx, r, effectBackup); err != nil {
		return err
	}
	restart := bleservice.RestartOf(&r.Run, bleservice.Endpoint)
	if err := restart.DoStop(ctx, r); err != nil {
		return err
	}
	for _, id := range []string{effectRemove, effectCopy, effectEdit} {
		if err := doPlanned(ctx, r, id); err != nil {
			return err
		}
	}
	if r.Planned(bleservice.EffectStart) == nil {
		return nil
	}
	return restart.DoStart(ctx, r)
}

// doPlanned does an effect if the plan has it.
func doPlanned(ctx context.Context, r *sdk.ApplyRun, id string) error {
	p := r.Planned(id)
	if p == nil {
		return nil
	}
	r.Progress("%s", p.GetAfter())
	return r.MustDo(ctx, id)
}

// wouldLoseCentral refuses an agent_url that would lead a terminal away from the site's central Nymi Agent. present is what the terminal
// uses now, "" for nothing.
func wouldLoseCentral(site *actionv1.Surroundings, present, next string) *actionv1.Plan {
	central := site.GetCentralAgentUrl()
	if !site.GetCentralAgent() || next == central || next == present && present != "" {
		return nil
	}
	return sdk.Refuse(fmt.Sprintf("the Nymi Agent of this site is central (%s), and agent_url would become %s", central, orNothing(next)),
		"run this with agent_url=inventory, which takes the site's address and needs an approval")
}

// inventoryAddress is where the server says that the terminals of a site find their Nymi Agent, "" when it does not say.
func inventoryAddress(site *actionv1.Surroundings) string {
	if site.GetCentralAgent() {
		return site.GetCentralAgentUrl()
	}
	address, _ := decode(site.GetNbeProfile()[keyAgentURL]).(string)
	return address
}

func noInventoryAddress() *actionv1.Plan {
	return sdk.Refuse("the server knows no address of a Nymi Agent for this site",
		"tell it with fleetctl site set --nymi-agent central=ADDRESS, or run this with another agent_url")
}

// unreachable refuses the site's central Nymi Agent when this terminal does not reach it: it would be cut off. Other addresses of the
// inventory may not be probed before they are set; Verify does it.
func unreachable(ctx context.Context, r *sdk.Run, site *actionv1.Surroundings, address string) (*actionv1.Plan, error) {
	url, err := bleservice.ParseAgentURL(address, urlInventory)
	if err != nil || !site.GetCentralAgent() {
		return nil, nil
	}
	answer, err := r.ProbeNet(ctx, &actionv1.ProbeTarget{Host: url.Host, Port: uint32(url.Port)}, agentProbeTimeout)
	if err != nil || answer.GetConnected() {
		return nil, err
	}
	why := cmp.Or(answer.GetNameProblem(), answer.GetConnectProblem())
	return sdk.Refuse(fmt.Sprintf("this terminal does not reach the site's Nymi Agent at %s: %s", url.Address(), why),
		"see that the Nymi Agent runs there and that the network lets this terminal through (action net-probe), then run this again"), nil
}

func orNothing(text string) string {
	if text == "" {
		return "empty, which means the Nymi Agent on this terminal"
	}
	return text
}

// addressIn returns agent_url of a file as a plain text, "" when it has none.
func addressIn(c *actionv1.ConfigState) string {
	text, _ := textOf(c, keyAgentURL)
	address, _ := decode(text).(string)
	return address
}
