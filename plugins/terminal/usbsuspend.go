package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// The power setting "USB selective suspend" and its subgroup, by GUID, and its index for off.
const (
	usbSubgroup = "2a737441-1930-4402-8d77-b2bebba308a3"
	usbSuspend  = "48e6b7a6-50f5-4782-a5d4-53bb8f07e226"
	suspendOff  = 0
)

// currentScheme is the value of the parameter scheme that means the active one.
const currentScheme = "current"

const effectSuspend = "switch-off"

// usbSuspendDisable switches USB selective suspend off.
type usbSuspendDisable struct{}

func (usbSuspendDisable) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name:    "usb-suspend-disable",
		Version: "1.0.0",
		Summary: "Switch USB selective suspend off, so that the adapter and the reader wake up with the terminal",
		Description: "Use it when a tap does not unlock the terminal after sleep or hibernation. It changes the power scheme for mains and for battery. A " +
			"group policy that sets this wins over the scheme: then change the policy, which is better for a whole fleet anyway.",
		Params: []*actionv1.Param{
			sdk.Bool("ac", true, "change it for mains power"),
			sdk.Bool("dc", true, "change it for battery power"),
			sdk.Text("scheme", currentScheme, "the power scheme", 36, `current|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`, "current, or the GUID of a power scheme in lower case"),
		},
		Capabilities:  []*actionv1.Capability{sdk.ReadPower(usbSuspend), sdk.WritePower(usbSuspend)},
		Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE,
		Resources:     []string{"power"},
		Undo:          "The earlier setting comes back exactly, unless somebody else changed it meanwhile.",
		Verifies:      "The setting reads back as off for every kind of power that was asked for.",
		Source:        "Cannot unlock the terminal after bringing it out of sleep mode",
		Roles:         []string{"user-terminal"},
		MaxDuration:   durationpb.New(2 * time.Minute),
	}
}

func suspendSetting(r *sdk.Run) *actionv1.PowerSetting {
	s := &actionv1.PowerSetting{Subgroup: usbSubgroup, Setting: usbSuspend}
	if scheme := r.String("scheme"); scheme != currentScheme {
		s.Scheme = scheme
	}
	return s
}

func (usbSuspendDisable) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	if !r.Bool("ac") && !r.Bool("dc") {
		return sdk.Refuse("neither mains nor battery was asked for", "set ac=true, dc=true or both"), nil
	}
	setting := suspendSetting(r)
	now, err := r.Power(ctx, setting)
	if err != nil {
		return nil, err
	}
	if now.GetByPolicy() {
		return sdk.Refuse(fmt.Sprintf("a group policy sets USB selective suspend on this terminal (%s)", powerText(now)),
			"change the policy: it wins over the power scheme, and reaches every terminal"), nil
	}
	set := &actionv1.PowerSet{
		Setting: setting, AcBefore: now.GetAc(), DcBefore: now.GetDc(), AcAfter: now.GetAc(), DcAfter: now.GetDc(),
	}
	if r.Bool("ac") {
		set.AcAfter = suspendOff
	}
	if r.Bool("dc") {
		set.DcAfter = suspendOff
	}
	if set.GetAcAfter() == set.GetAcBefore() && set.GetDcAfter() == set.GetDcBefore() {
		return sdk.NoChange("USB selective suspend is off already"), nil
	}
	after := powerText(&actionv1.PowerState{Ac: set.GetAcAfter(), Dc: set.GetDcAfter()})
	return sdk.Ready(sdk.Planned(effectSuspend, sdk.PowerSet(set), powerText(now), after)), nil
}

func powerText(p *actionv1.PowerState) string {
	return fmt.Sprintf("on mains %s, on battery %s", indexText(p.GetAc()), indexText(p.GetDc()))
}

func indexText(index uint32) string {
	if index == suspendOff {
		return "off"
	}
	return "on"
}

func (usbSuspendDisable) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	return r.MustDo(ctx, effectSuspend)
}

func (usbSuspendDisable) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	now, err := r.Power(ctx, suspendSetting(&r.Run))
	if err != nil {
		return nil, err
	}
	var checks []*actionv1.Check
	if r.Bool("ac") {
		checks = append(checks, sdk.Check("USB selective suspend on mains", "off", indexText(now.GetAc()), now.GetAc() == suspendOff))
	}
	if r.Bool("dc") {
		checks = append(checks, sdk.Check("USB selective suspend on battery", "off", indexText(now.GetDc()), now.GetDc() == suspendOff))
	}
	v := sdk.Verdict(checks...)
	if now.GetByPolicy() {
		v.NextStep = "a group policy sets this now: change the policy"
	} else if len(r.Effects()) > 0 {
		v.NextStep = "ask the user to tap after the terminal's next wake-up: only that proves it"
	}
	return v, nil
}
