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

// Profiles say what a machine should be.
const (
	profileTerminal = "terminal"
	profileNES      = "nes"
	profileInstall  = "nes-install"
	profileCA       = "nes-ca"
)

// diagnose looks at a machine by rules and says what it finds. It never fails because something is bad: that is what it is for.
//
// All is looked at in the verify phase, so that an interrupted run is simply run again.
type diagnose struct{}

func (diagnose) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name:    "diagnose",
		Version: "1.0.0",
		Summary: "Look at a machine by the guide's rules and list what is found",
		Description: "Looks at services, the Bluetooth adapter, nbe.toml, certificates, IIS, features, free space, the clock and the hosts that the machine needs, and lists each " +
			"with what is there, what is expected and what to do. Findings are its result: it succeeds when it could look. What cannot be told on this machine is UNKNOWN, and is " +
			"no fault. It changes nothing.",
		Params: []*actionv1.Param{
			sdk.Enum("profile", "", "what the machine should be; by its role unless given: terminal, or nes for a NES host", profileTerminal, profileNES, profileInstall, profileCA),
			sdk.List(sdk.Enum("check", "", "only these checks; all of the profile unless given", checkNames()...)),
		},
		Capabilities:  diagnoseCapabilities(),
		Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE,
		Undo:          "Nothing is changed, so there is nothing to put back.",
		Verifies:      "That every check of the profile was carried out, or its result is UNKNOWN with the reason.",
		Source:        "All chapters: the first steps of troubleshooting",
		Roles:         []string{"user-terminal", neshost.Role},
		ReadOnly:      true,
		MaxDuration:   durationpb.New(2 * time.Minute),
	}
}

// profileOf is the profile that was asked for, or that of the terminal's role.
func profileOf(r *sdk.Run) string {
	switch {
	case r.String("profile") != "":
		return r.String("profile")
	case r.Terminal().GetRole() == neshost.Role:
		return profileNES
	default:
		return profileTerminal
	}
}

// selected are the checks to carry out, and the names that were asked for and that the profile does not have.
func selected(r *sdk.Run) (checks []check, foreign []string) {
	profile := profileOf(r)
	var wanted []string
	if text := r.String("check"); text != "" {
		wanted = strings.Split(text, ",")
	}
	for _, c := range allChecks() {
		asked := slices.Contains(wanted, c.name) || len(wanted) == 0 && !c.onRequest
		if asked && slices.Contains(c.profiles, profile) {
			checks = append(checks, c)
		}
	}
	foreign = slices.DeleteFunc(wanted, func(name string) bool { return slices.Contains(checksOf(profile), name) })
	return checks, foreign
}

func (diagnose) Plan(_ context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	_, foreign := selected(r)
	profile := profileOf(r)
	switch onNES := r.Terminal().GetRole() == neshost.Role; {
	case len(foreign) > 0:
		return sdk.Refuse(fmt.Sprintf("profile %s has no check %s; it has: %s", profile, strings.Join(foreign, ", "), strings.Join(checksOf(profile), ", ")),
			"name checks of the profile, or another profile"), nil
	case profile != profileTerminal && !onNES:
		return sdk.Refuse(fmt.Sprintf("profile %s is for NES hosts, and this terminal has the role %s", profile, r.Terminal().GetRole()),
			"choose a NES host, or profile=terminal"), nil
	}
	return sdk.Ready(), nil
}

func (diagnose) Apply(context.Context, *sdk.ApplyRun) error { return nil }

func (diagnose) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	checks, _ := selected(&r.Run)
	e := newExam(&r.Run, probeTimeout)
	for _, c := range checks {
		r.Progress("looking at %s", c.name)
		c.look(ctx, e)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	text := fmt.Sprintf("all %d checks of profile %s", len(checks), profileOf(&r.Run))
	v := sdk.Verdict(sdk.Check("checks carried out", text, text+": "+e.tally(), true))
	v.NextStep = e.nextStep()
	return v, nil
}
