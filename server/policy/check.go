package policy

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// Bounds of what a policy may say.
const (
	maxAttempts    = 20
	minPeriod      = time.Minute
	maxPeriod      = 7 * 24 * time.Hour
	maxCooldown    = 24 * time.Hour
	maxApprovals   = 2
	maxNamed       = 500
	maxDescription = 1024
	// maxPolicies bounds how many there are: each decision goes through them.
	maxPolicies = 500
)

var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// problems gathers all that is wrong with a policy.
type problems struct{ violations []refusal.Violation }

func (p *problems) add(bad bool, field, text string) {
	if bad {
		p.violations = append(p.violations, refusal.Violation{Field: "policy." + field, Text: text})
	}
}

// check refuses a policy that does not make sense, with all that is wrong with it.
func (e *Engine) check(ctx context.Context, p *fleetv1.Policy) error {
	found := &problems{}
	checkShape(found, p)
	checkLimits(found, p.GetGuardrails())
	e.checkEntries(found, p)
	e.checkActions(found, p)
	if err := e.checkSites(ctx, found, p.GetSites()); err != nil {
		return err
	}
	all := e.book.current().policies
	if !slices.ContainsFunc(all, func(o *fleetv1.Policy) bool { return o.GetName() == p.GetName() }) {
		found.add(len(all) >= maxPolicies, "name", "there are as many policies as there may be; delete one that is not needed")
	}
	if len(found.violations) == 0 {
		return nil
	}
	return refusal.New(refusal.Invalid, "BAD_POLICY", "policy %q: does not make sense; nothing was changed", refusal.Shown(p.GetName())).
		With(found.violations...).Then("see `fleetctl policy set --help`")
}

func checkShape(found *problems, p *fleetv1.Policy) {
	_, knownRole := fleetv1.TerminalRole_name[int32(p.GetRole())]
	_, knownMode := fleetv1.PolicyMode_name[int32(p.GetMode())]
	found.add(!namePattern.MatchString(p.GetName()), "name", "must be 1 to 63 lower case letters, digits and dashes")
	found.add(!knownMode || p.GetMode() == fleetv1.PolicyMode_POLICY_MODE_UNSPECIFIED, "mode", "must be observe, ask or auto")
	found.add(!knownRole, "role", "must be user-terminal or nes-host, or none")
	found.add(p.GetSiteBreakerPercent() > 100, "site_breaker_percent", "must be 1 to 100, or 0 for 30")
	found.add(p.GetApprovals() > maxApprovals, "approvals", "must be 1 or 2, or 0 for 1")
	found.add(len(p.GetDescription()) > maxDescription, "description", "is longer than 1024 bytes")
	found.add(strings.ContainsFunc(p.GetDescription()+p.GetEscalateTo(), isControl), "description", "must be one line without control characters")
	found.add(len(p.GetEscalateTo()) > 63, "escalate_to", "is longer than 63 bytes")
	found.add(len(p.GetEntries()) > maxNamed || len(p.GetSites()) > maxNamed || len(p.GetActions()) > maxNamed, "entries", "names more than 500")
	auto := p.GetMode() == fleetv1.PolicyMode_POLICY_MODE_AUTO
	found.add(p.GetReflex() && !auto, "reflex", "is for the mode auto only: an agent that is alone has nobody to ask")
	found.add(p.GetApprovals() > 0 && p.GetMode() == fleetv1.PolicyMode_POLICY_MODE_OBSERVE, "approvals", "are for the modes ask and auto: with observe there is nothing to approve")
	for _, kind := range p.GetKinds() {
		known := []catalogue.Kind{catalogue.Auto, catalogue.Approval, catalogue.Guided}
		found.add(!slices.Contains(known, catalogue.Kind(kind)), "kinds", `must be "auto", "auto-with-approval" or "guided"`)
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }

func checkLimits(found *problems, g *agentv1.Guardrails) {
	period, cooldown := g.GetPeriod().AsDuration(), g.GetCooldown().AsDuration()
	found.add(g.GetMaxAttempts() > maxAttempts, "guardrails.max_attempts", "must be at most 20, or 0 for 3")
	found.add(g.GetPeriod() != nil && (!g.GetPeriod().IsValid() || period < minPeriod || period > maxPeriod), "guardrails.period", "must be 1m to 168h")
	found.add(g.GetCooldown() != nil && (!g.GetCooldown().IsValid() || cooldown < 0 || cooldown > maxCooldown), "guardrails.cooldown", "must be 0s to 24h")
	found.add(g.GetPeriod() != nil && cooldown >= period, "guardrails.cooldown", "must be shorter than the period")
}

func (e *Engine) checkEntries(found *problems, p *fleetv1.Policy) {
	c := e.cfg.Catalogue.Current()
	acts := p.GetMode() == fleetv1.PolicyMode_POLICY_MODE_ASK || p.GetMode() == fleetv1.PolicyMode_POLICY_MODE_AUTO
	for _, id := range p.GetEntries() {
		entry := c.Entry(id)
		if entry == nil {
			found.add(true, "entries", "entry "+quoted(id)+" is not in the catalogue; `fleetctl catalogue list` names them")
			continue
		}
		if action, why := entry.Loop(); acts && action != "" {
			found.add(true, "entries", "entry "+quoted(id)+": its remedy "+action+" raises the fault that it is for: "+why)
		}
	}
}

func (e *Engine) checkActions(found *problems, p *fleetv1.Policy) {
	known := map[string]bool{}
	for _, entry := range e.cfg.Catalogue.Current().Entries() {
		for _, step := range entry.Remedy.Steps {
			known[step.Action] = true
		}
	}
	for _, name := range p.GetActions() {
		found.add(!known[name], "actions", "action "+quoted(name)+" is in no remedy of the catalogue")
	}
}

func (e *Engine) checkSites(ctx context.Context, found *problems, sites []string) error {
	for _, site := range sites {
		_, err := e.cfg.Inventory.Site(ctx, site)
		if err != nil && !isNotFound(err) {
			return err
		}
		found.add(err != nil, "sites", "site "+quoted(site)+" does not exist")
	}
	return nil
}

func quoted(text string) string { return `"` + refusal.Shown(text) + `"` }
