package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// poolPattern is what is taken for the name of an application pool; what IIS forbids in one is not in it.
const (
	poolPattern = `[A-Za-z0-9._][A-Za-z0-9._ -]*`
	poolWords   = "letters, digits, dots, dashes, underscores and blanks, not beginning with a dash or a blank"
)

const (
	prefixSite    = "start-site-"
	prefixPool    = "start-pool-"
	prefixRecycle = "recycle-"
)

func planRecycle(pools []string) []*actionv1.PlannedEffect {
	var effects []*actionv1.PlannedEffect
	for _, pool := range pools {
		effects = append(effects, sdk.Planned(prefixRecycle+pool, sdk.IISRecycle(pool), "worker processes of before", "new worker processes"))
	}
	return effects
}

// planRecycleOf recycles the pool that was asked for, or all of NES.
func planRecycleOf(r *sdk.Run, web *actionv1.ServiceState, inv *actionv1.IISInventory, apps []neshost.Application) *actionv1.Plan {
	pools := neshost.Pools(apps)
	if wanted := r.String("pool"); wanted != "" {
		i := slices.IndexFunc(pools, func(p string) bool { return strings.EqualFold(p, wanted) })
		if i < 0 {
			return foreignPool(wanted, pools)
		}
		pools = pools[i : i+1]
	}
	const start = "run iis-restart mode=ensure-running, which starts what is stopped"
	if refusal := refuseUnlessRuns(web, start); refusal != nil {
		return refusal
	}
	if len(pools) == 0 {
		return sdk.Refuse("IIS names no NES applications on this host, so it is not known which pools are theirs", "look whether NES is installed, with diagnose profile=nes")
	}
	for _, name := range pools {
		if p := poolNamed(inv, name); !p.GetStarted() {
			return sdk.Refuse(fmt.Sprintf("application pool %q is stopped", name), start)
		}
	}
	return sdk.Ready(planRecycle(pools)...)
}

func foreignPool(wanted string, pools []string) *actionv1.Plan {
	return sdk.Refuse(fmt.Sprintf("application pool %q is none of NES; those of NES are: %s", wanted, listOr(pools, "none that IIS names")),
		"give the name of a pool of NES; pools of other applications are not touched")
}

func poolNamed(inv *actionv1.IISInventory, name string) *actionv1.IISPool {
	for _, p := range inv.GetPools() {
		if strings.EqualFold(p.GetName(), name) {
			return p
		}
	}
	return nil
}

// planRuns starts the sites and pools of NES that are stopped. When the services will be started first (perhaps), it cannot be known yet
// which those are, and each is an alternative.
func planRuns(apps []neshost.Application, inv *actionv1.IISInventory, perhaps bool) []*actionv1.PlannedEffect {
	var effects []*actionv1.PlannedEffect
	add := func(id string, e *actionv1.Effect, started bool) {
		switch {
		case perhaps:
			effects = append(effects, sdk.OnlyIf("it is stopped when the services run", sdk.Planned(id, e, "stopped", "started")))
		case !started:
			effects = append(effects, sdk.Planned(id, e, "stopped", "started"))
		}
	}
	for _, pool := range neshost.Pools(apps) {
		add(prefixPool+pool, sdk.IISStartPool(pool), poolNamed(inv, pool).GetStarted())
	}
	for _, site := range neshost.Sites(apps) {
		add(prefixSite+site, sdk.IISStartSite(site), siteStarted(inv, site))
	}
	return effects
}

func siteStarted(inv *actionv1.IISInventory, name string) bool {
	return slices.ContainsFunc(inv.GetSites(), func(s *actionv1.IISSite) bool { return strings.EqualFold(s.GetName(), name) && s.GetStarted() })
}

// applyRuns starts the planned sites and pools that are stopped now, and recycles the planned pools.
func applyRuns(ctx context.Context, r *sdk.ApplyRun) error {
	inv, err := r.IIS(ctx)
	if err != nil {
		return err
	}
	for _, p := range r.Plan().GetEffects() {
		start := p.GetEffect().GetIisStart()
		stopped := start != nil && (start.GetPool() != "" && !poolNamed(inv, start.GetPool()).GetStarted() ||
			start.GetSite() != "" && !siteStarted(inv, start.GetSite()))
		if !stopped && p.GetEffect().GetIisRecycle() == nil {
			continue
		}
		if err := r.MustDo(ctx, p.GetId()); err != nil {
			return err
		}
	}
	return nil
}

// checkStarted checks that the sites and pools of NES are started.
func checkStarted(inv *actionv1.IISInventory, apps []neshost.Application) []*actionv1.Check {
	var checks []*actionv1.Check
	word := map[bool]string{true: "started", false: "stopped"}
	for _, site := range neshost.Sites(apps) {
		ok := siteStarted(inv, site)
		checks = append(checks, sdk.Check(fmt.Sprintf("site %q", site), "started", word[ok], ok))
	}
	for _, pool := range neshost.Pools(apps) {
		ok := poolNamed(inv, pool).GetStarted()
		checks = append(checks, sdk.Check(fmt.Sprintf("application pool %q", pool), "started", word[ok], ok))
	}
	return checks
}
