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
	"github.com/bandfleet/bandfleet/proto/rights"
)

const (
	effectIdentity = "set-identity"
	localSystem    = "LocalSystem"
	specificUser   = "SpecificUser"
)

// appPoolIdentitySet sets the account that an application pool of NES runs as, to one that needs no password.
//
// An interrupted run is run again: the identity is set only while it has its earlier value.
type appPoolIdentitySet struct{}

func (appPoolIdentitySet) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name:    "apppool-identity-set",
		Version: "1.0.0",
		Summary: "Set the account that an application pool of NES runs as",
		Description: "Use it when NES cannot be installed because its application pool runs as LocalService. Only pools of NES applications are touched, and only " +
			"accounts without a password can be set. LocalSystem may do anything on the host, so somebody else approves it.",
		Params: []*actionv1.Param{
			sdk.Required(sdk.Text("pool", "", "application pool of a NES application", 128, poolPattern, poolWords)),
			sdk.Required(sdk.Enum("identity", "", "account that the pool runs as", localSystem, "ApplicationPoolIdentity", "NetworkService")),
		},
		WhenRules: []*actionv1.WhenRule{
			{Param: "identity", Value: localSystem, Approvals: 1, Reason: "LocalSystem may do anything on the host"},
		},
		Capabilities: append([]*actionv1.Capability{
			sdk.WriteIIS(rights.PoolIdentity), sdk.WriteIIS(rights.RunIIS),
		}, probeCapabilities()...),
		Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE,
		Resources:     []string{"iis"},
		Disruptive:    true,
		Interrupts:    "The NES applications of this pool, for a few seconds: its worker processes start anew.",
		Undo:          "Exactly: the pool gets its earlier account back. That its worker processes started anew cannot be undone.",
		Verifies:      "The account reads back; the pool is started; the applications answer without 5xx, where the host's address is known.",
		Source:        "NES Installation Messages",
		Roles:         []string{neshost.Role},
		MaxDuration:   durationpb.New(10 * time.Minute),
	}
}

func (appPoolIdentitySet) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	inv, err := r.IIS(ctx)
	if err != nil {
		return nil, err
	}
	if !inv.GetInstalled() {
		return noIIS(), nil
	}
	pools := neshost.Pools(neshost.Applications(inv))
	i := slices.IndexFunc(pools, func(p string) bool { return strings.EqualFold(p, r.String("pool")) })
	if i < 0 {
		return foreignPool(r.String("pool"), pools), nil
	}
	pool, wanted := poolNamed(inv, pools[i]), r.String("identity")
	switch {
	case pool == nil:
		return sdk.Refuse(fmt.Sprintf("IIS has no application pool %q, though applications name it", pools[i]), "make the pool in the IIS console, then run this again"), nil
	case pool.GetIdentity() == wanted:
		return sdk.NoChange(fmt.Sprintf("application pool %q runs as %s already", pool.GetName(), wanted)), nil
	}
	set := sdk.IISSet(actionv1.IISAttribute_IIS_ATTRIBUTE_POOL_IDENTITY, pool.GetName(), pool.GetIdentity(), wanted)
	effects := []*actionv1.PlannedEffect{sdk.Planned(effectIdentity, set, pool.GetIdentity(), wanted)}
	if pool.GetStarted() {
		effects = append(effects, planRecycle([]string{pool.GetName()})...)
	}
	p := sdk.Ready(effects...)
	p.Warnings = identityWarnings(pool, wanted)
	return p, nil
}

func identityWarnings(pool *actionv1.IISPool, wanted string) []string {
	var warnings []string
	if wanted == localSystem {
		warnings = append(warnings, "LocalSystem may do anything on this host; ApplicationPoolIdentity and NetworkService may less")
	}
	if pool.GetIdentity() == specificUser {
		warnings = append(warnings, "the pool runs as an account that somebody chose, which may have rights to the database that the new one has not")
	}
	return warnings
}

func (appPoolIdentitySet) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	for _, p := range r.Plan().GetEffects() {
		if err := r.MustDo(ctx, p.GetId()); err != nil {
			return err
		}
	}
	return nil
}

func (appPoolIdentitySet) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	if err := r.Wait(ctx, settleFor); err != nil {
		return nil, err
	}
	inv, err := r.IIS(ctx)
	if err != nil {
		return nil, err
	}
	pool, wanted := poolNamed(inv, r.String("pool")), r.String("identity")
	checks := []*actionv1.Check{sdk.Check(fmt.Sprintf("account of application pool %q", r.String("pool")), wanted,
		listOr(slices.DeleteFunc([]string{pool.GetIdentity()}, func(s string) bool { return s == "" }), "not known"), pool.GetIdentity() == wanted)}
	apps := slices.DeleteFunc(neshost.Applications(inv), func(a neshost.Application) bool { return !strings.EqualFold(a.Pool, r.String("pool")) })
	next := "the pool is stopped: run iis-restart mode=ensure-running to start it"
	if pool.GetStarted() {
		answers, byHand, err := checkAnswers(ctx, &r.Run, apps)
		if err != nil {
			return nil, err
		}
		checks, next = append(checks, answers...), byHand
	}
	v := sdk.Verdict(checks...)
	v.NextStep = next
	if !allHold(checks) {
		v.NextStep = "see in the System event log of this host why, and whether the account may use the database and the application's folder"
	}
	return v, nil
}
