package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// netProbe connects from a machine to hosts that the inventory knows, and tells network, trust and application apart.
//
// All is probed in the verify phase, so that an interrupted run is simply run again.
type netProbe struct{}

func (netProbe) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name:    "net-probe",
		Version: "1.0.0",
		Summary: "Connect to the hosts that a machine needs, and tell network, trust and application apart",
		Description: "Looks each name up, connects, negotiates TLS with what the machine trusts and asks by HTTP, as far as it gets, and lists each step by itself: no address and no " +
			"connection are matters of the network, a chain that is not trusted one of certificates, a bad HTTP status one of the application. It connects only to hosts that the " +
			"inventory knows of this site. It changes nothing and sends nothing but a GET.",
		Params: []*actionv1.Param{
			sdk.Enum("from", "", "role that the machine must have: terminal or nes; any unless given", "terminal", "nes"),
			sdk.List(sdk.Text("targets", "nes", "nes: the NES hosts of this machine; https-enrollment: their enrolment service; ad, sql, domain or another label of the site's "+
				"known hosts, with a port if only that is meant (ad:636,389); or host:port", 300, targetPattern, "nes, https-enrollment, a label, label:port, host:port, or another port of the target before")),
			sdk.Duration("timeout", 5*time.Second, time.Second, 30*time.Second, "how long each step of one target may take"),
		},
		Capabilities:  []*actionv1.Capability{sdk.ReadSite(), sdk.ReadIIS(), sdk.ProbeInventory()},
		Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE,
		Undo:          "Nothing is changed, so there is nothing to put back.",
		Verifies:      "That every target was probed.",
		Source:        "Network and certificate faults of all chapters",
		Roles:         []string{"user-terminal", neshost.Role},
		ReadOnly:      true,
		MaxDuration:   durationpb.New(20 * time.Minute),
	}
}

func (netProbe) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	wantNES := r.String("from") == "nes"
	if isNES := r.Terminal().GetRole() == neshost.Role; r.IsSet("from") && wantNES != isNES {
		return sdk.Refuse(fmt.Sprintf("from=%s was asked for, and this terminal has the role %s", r.String("from"), r.Terminal().GetRole()),
			"choose other terminals, or leave from out"), nil
	}
	targets, err := readTargets(ctx, r)
	if err != nil {
		return nil, err
	}
	if targets.problem != "" {
		return sdk.Refuse(targets.problem, "name hosts that the site's inventory has, or add this one to the site's known hosts"), nil
	}
	return sdk.Ready(), nil
}

func (netProbe) Apply(context.Context, *sdk.ApplyRun) error { return nil }

func (netProbe) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	targets, err := readTargets(ctx, &r.Run)
	if err != nil {
		return nil, err
	}
	if targets.problem != "" {
		return nil, sdk.Fail(targets.problem, "run this again")
	}
	e := newExam(&r.Run, r.Duration("timeout"))
	var probed []string
	for _, t := range targets.list {
		r.Progress("connecting to %s", neshost.Address(t.target))
		e.begun = time.Now() // the time of a target is bounded by timeout alone
		e.connect(ctx, t.rule, t.target)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		probed = append(probed, neshost.Address(t.target))
	}
	v := sdk.Verdict(sdk.Check("targets probed", fmt.Sprintf("all %d", len(targets.list)), strings.Join(probed, ", ")+": "+e.tally(), true))
	v.NextStep = e.nextStep()
	return v, nil
}
