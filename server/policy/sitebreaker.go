package policy

import (
	"context"
	"fmt"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

const (
	// defaultShare is the share of a site's terminals, in percent, beyond which nothing is remedied there by itself.
	defaultShare = 30
	// fewestFaulty is how many terminals must be faulty at least: at a small site one or two of them are no common cause.
	fewestFaulty = 5
)

// siteBroken says why a policy does nothing by itself at the fault's site: too many terminals there have faults that it is for, which is
// no matter of single machines. Empty when that is not so.
func (e *Engine) siteBroken(ctx context.Context, c *Case) (words string, err error) {
	share := int(c.policy.GetSiteBreakerPercent())
	if share == 0 {
		share = defaultShare
	}
	all, err := e.cfg.Inventory.AtSite(ctx, c.fault.GetSite())
	if err != nil {
		return "", err
	}
	open, err := e.open(ctx, c.fault.GetSite())
	if err != nil {
		return "", err
	}
	faulty := e.faulty(open, c.policy)
	if faulty < fewestFaulty || faulty*100 <= share*len(all) {
		return "", nil
	}
	return fmt.Sprintf("held: %d of %d terminals of site %s have such faults, more than %d %%: look for what they have in common", faulty, len(all), c.fault.GetSite(), share), nil
}

// faulty counts the terminals with open faults that a policy names.
func (e *Engine) faulty(open []*fleetv1.Fault, p *fleetv1.Policy) int {
	catalogue := e.cfg.Catalogue.Current()
	terminals := map[string]bool{}
	for _, f := range open {
		if entry := catalogue.Entry(f.GetEntry()); entry != nil && fits(p, entry, f.GetSite(), fleetv1.TerminalRole_TERMINAL_ROLE_UNSPECIFIED) {
			terminals[f.GetTerminalId()] = true
		}
	}
	return len(terminals)
}
