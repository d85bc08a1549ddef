package main

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// What raise changes: one switch of a NES application's file.
const (
	nesRoot, webConfig = "nes", "web.config"
	raisedSwitch       = "Global"
	raisedLevel        = "Verbose"
	raisedFor          = 2 * time.Hour
)

const dotnetSwitches = actionv1.ConfigFormat_CONFIG_FORMAT_DOTNET_SWITCHES

// raise sets a log level for a time, on machines that have the file and no IIS, which verbose-logging wants.
type raise struct{}

func (raise) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name: "raise", Version: "1.0.0", Summary: "Raise a log level for a time", Description: "Use it in tests.",
		Undo: "The agent puts the level back.", Verifies: "The level reads back.", Source: "own",
		Roles: []string{"user-terminal", "nes-host"}, Resources: []string{"iis"},
		Capabilities:  []*actionv1.Capability{sdk.ReadConfig(nesRoot, webConfig), sdk.EditConfig(nesRoot, webConfig), sdk.UseLeases()},
		Repeatability: actionv1.Repeatability_REPEATABILITY_PROBE, MaxDuration: durationpb.New(time.Minute),
	}
}

func (raise) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	before, err := level(ctx, r)
	if err != nil {
		return nil, err
	}
	after := raisedLevel
	edit := sdk.ConfigEdit(nesRoot, webConfig, dotnetSwitches, sdk.Change(raisedSwitch, &before, &after))
	return sdk.Ready(sdk.Planned("raise", sdk.Leased(edit, raisedFor), before, after)), nil
}

func (raise) Apply(ctx context.Context, r *sdk.ApplyRun) error { return r.MustDo(ctx, "raise") }

func (raise) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	now, err := level(ctx, &r.Run)
	if err != nil {
		return nil, err
	}
	return sdk.Verdict(sdk.Check("the level is raised", raisedLevel, now, now == raisedLevel)), nil
}

// level reads the switch.
func level(ctx context.Context, r *sdk.Run) (string, error) {
	state, err := r.Config(ctx, nesRoot, webConfig, dotnetSwitches)
	if err != nil {
		return "", err
	}
	for _, v := range state.GetValues() {
		if v.GetKey() == raisedSwitch {
			return v.GetValue(), nil
		}
	}
	return "", sdk.Fail("file nes/web.config has no switch "+raisedSwitch, "give it one")
}
