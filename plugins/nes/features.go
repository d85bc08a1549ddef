package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	effectFeatures = "add-features"
	featureTimeout = 9 * time.Minute
)

// windowsFeatureEnsure adds features of Windows that NES needs, of a closed list. It removes none and restarts nothing.
//
// An interrupted run is run again: what was added meanwhile is found to be there.
type windowsFeatureEnsure struct{}

func (windowsFeatureEnsure) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name:    "windows-feature-ensure",
		Version: "1.0.0",
		Summary: "Add the features of Windows that NES needs",
		Description: "Adds what is missing of a closed list: " + strings.Join(neshost.FeatureNames(), ", ") + ", with what they need themselves. The names are those of " +
			"Server Manager. Nothing is ever removed. If Windows wants a restart afterwards, that is reported and not done.",
		Params: []*actionv1.Param{
			sdk.List(sdk.Enum("features", neshost.InstallProfile, "features to add; "+neshost.InstallProfile+" is all of the list",
				append([]string{neshost.InstallProfile}, neshost.FeatureNames()...)...)),
			sdk.Text("source", "", "folder with the sources of Windows' features; the machine's own way unless given", 260,
				`([A-Za-z]:\\|\\\\)[^<>:"/|?*]+`, `a folder such as D:\sources\sxs or \\server\share\sxs`),
		},
		Capabilities:  []*actionv1.Capability{sdk.ReadFeatures(), sdk.AddFeatures(), {Kind: actionv1.CapabilityKind_CAPABILITY_KIND_MACHINE_READ}},
		Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE,
		Resources:     []string{"iis"},
		Disruptive:    true,
		Interrupts:    "IIS may restart while its features are added, 1 to 15 minutes in all.",
		Undo:          "None: a feature that was added stays. It does no harm by being there.",
		Verifies:      "Every feature reads as installed.",
		Source:        "NES Installation Messages; NES Pre-requisite Check Fails With IIS Components Missing",
		Roles:         []string{neshost.Role},
		MaxDuration:   durationpb.New(20 * time.Minute),
	}
}

// wantedFeatures are the features that were asked for, as Windows' own tools name them.
func wantedFeatures(r *sdk.Run) []string {
	names := strings.Split(r.String("features"), ",")
	if slices.Contains(names, neshost.InstallProfile) {
		names = neshost.FeatureNames()
	}
	var ids []string
	for _, n := range names {
		ids = append(ids, neshost.FeatureIDs(n)...)
	}
	return ids
}

func (windowsFeatureEnsure) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	states, err := r.Features(ctx, wantedFeatures(r)...)
	if err != nil {
		return nil, err
	}
	var missing, unknown []string
	for _, f := range states.GetFeatures() {
		switch {
		case !f.GetKnown():
			unknown = append(unknown, f.GetName())
		case !f.GetInstalled():
			missing = append(missing, f.GetName())
		}
	}
	switch {
	case len(unknown) > 0:
		return sdk.Refuse("this Windows does not know the features "+strings.Join(unknown, ", "), "run this on the NES host, which must be a Windows Server of a supported release"), nil
	case len(missing) == 0:
		return sdk.NoChange("every feature is installed"), nil
	}
	p := sdk.Ready(sdk.Planned(effectFeatures, sdk.FeatureAdd(r.String("source"), featureTimeout, missing...),
		"not installed: "+strings.Join(missing, ", "), "installed"))
	return p, warnOfReboot(ctx, r, p)
}

// warnOfReboot says when Windows already waits for a restart: adding may fail then.
func warnOfReboot(ctx context.Context, r *sdk.Run, p *actionv1.Plan) error {
	m, err := r.MachineState(ctx)
	if err != nil {
		return err
	}
	if m.GetRebootPending() {
		p.Warnings = append(p.Warnings, fmt.Sprintf("this machine waits for a restart already (%s); if adding fails, restart it first (action host-reboot)",
			listOr(m.GetRebootReasons(), "Windows does not say why")))
	}
	return nil
}

func (windowsFeatureEnsure) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	rec, err := r.Do(ctx, effectFeatures)
	if err != nil || rec.GetError() == "" {
		return err
	}
	return sdk.Fail(rec.GetError(), "add them by hand in Server Manager, or give source= with a folder that has the sources of this release of Windows")
}

func (windowsFeatureEnsure) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	states, err := r.Features(ctx, wantedFeatures(&r.Run)...)
	if err != nil {
		return nil, err
	}
	restart := r.Effect(effectFeatures).GetAfter().GetFeatures().GetRestartNeeded() || states.GetRestartNeeded()
	var checks []*actionv1.Check
	for _, f := range states.GetFeatures() {
		word := map[bool]string{true: "installed", false: "not installed"}[f.GetInstalled()]
		if restart && !f.GetInstalled() {
			word += " before a restart of the machine"
		}
		checks = append(checks, sdk.Check("feature "+f.GetName(), "installed", word, f.GetInstalled()))
	}
	v := sdk.Verdict(checks...)
	r.Evidence("restart needed", "%v", restart)
	if restart {
		v.NextStep = "Windows wants a restart of this host before the features count: plan it with action host-reboot"
	}
	return v, nil
}
