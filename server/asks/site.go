package asks

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/selector"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// usersAge is how old the counts of who uses a host may be: when a whole site asks at once, its terminals are read once.
const usersAge = 10 * time.Second

// place is a terminal with its site.
type place struct {
	terminal *fleetv1.Terminal
	site     *fleetv1.Site
}

func (d *Desk) place(ctx context.Context, terminalID string) (*place, error) {
	r, err := d.cfg.Inventory.Terminal(ctx, terminalID)
	if err != nil {
		return nil, err
	}
	s, err := d.cfg.Inventory.Site(ctx, r.GetTerminal().GetSite())
	return &place{r.GetTerminal(), s}, err
}

// Surroundings is what the server knows of a terminal's site: what its running tasks are told when they ask, and what it is held to.
func (d *Desk) Surroundings(ctx context.Context, terminalID string) (*actionv1.Surroundings, error) {
	return d.surroundings(ctx, terminalID)
}

// surroundings is what the server knows of a terminal's site.
func (d *Desk) surroundings(ctx context.Context, terminalID string) (*actionv1.Surroundings, error) {
	p, err := d.place(ctx, terminalID)
	if err != nil {
		return nil, err
	}
	settings := p.site.GetSettings()
	s := &actionv1.Surroundings{
		NbeProfile:      settings.GetNbeProfile(),
		CentralAgent:    settings.GetNymiAgent() == fleetv1.NymiAgentPlacement_NYMI_AGENT_PLACEMENT_CENTRAL,
		CentralAgentUrl: settings.GetNymiAgentUrl(),
	}
	counts, err := d.countUsers(ctx, p.site)
	if err != nil {
		return nil, err
	}
	for _, h := range settings.GetNesHosts() {
		s.NesHosts = append(s.NesHosts, &actionv1.NESHost{
			Host: h.GetHost(), Url: h.GetUrl(), Used: d.uses(p.terminal, h), Self: p.is(h), Users: counts[h.GetUsedBy()],
		})
	}
	for _, r := range settings.GetApprovedRoots() {
		s.ApprovedRoots = append(s.ApprovedRoots, &actionv1.ApprovedRoot{Name: r.GetName(), Sha256: r.GetSha256(), Certificate: r.GetCertificate()})
	}
	for _, h := range settings.GetKnownHosts() {
		s.KnownHosts = append(s.KnownHosts, &actionv1.KnownHost{Label: h.GetLabel(), Address: h.GetAddress()})
	}
	return s, nil
}

// is reports whether a host of the settings is this terminal.
func (p *place) is(h *fleetv1.NESHost) bool {
	name := access.Fold(h.GetHost())
	return name == access.Fold(p.terminal.GetId()) || name == access.Fold(p.terminal.GetName())
}

// uses reports whether a terminal is a user terminal that uses a host. An expression that cannot be read, which the settings do not take,
// means nobody.
func (d *Desk) uses(t *fleetv1.Terminal, h *fleetv1.NESHost) bool {
	if t.GetRole() != fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL {
		return false
	}
	if h.GetUsedBy() == "" {
		return true
	}
	e, err := selector.Parse(h.GetUsedBy())
	return err == nil && e.Matches(selector.Subject{Terminal: t, Online: d.cfg.Link.Online(t.GetId()), Now: d.cfg.Now()})
}

// usersOf are the user terminals of the site that use this terminal, which must be a host of it.
func (d *Desk) usersOf(ctx context.Context, p *place) ([]*storagev1.TerminalRecord, error) {
	hosts := p.own()
	if len(hosts) == 0 {
		return nil, refusal.New(refusal.Precondition, "NO_HOST", "terminal %q: is no NES host of site %s", p.terminal.GetName(), p.site.GetName()).
			Then("name it with `fleetctl site set %s --nes-host %s=URL`", p.site.GetName(), p.terminal.GetName())
	}
	all, err := d.cfg.Inventory.AtSite(ctx, p.site.GetName())
	var users []*storagev1.TerminalRecord
	for _, r := range all {
		for _, h := range hosts {
			if d.uses(r.GetTerminal(), h) {
				users = append(users, r)
				break
			}
		}
	}
	return users, err
}

// own are the hosts of the settings that are this terminal.
func (p *place) own() (hosts []*fleetv1.NESHost) {
	for _, h := range p.site.GetSettings().GetNesHosts() {
		if p.is(h) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// mayBeProbed reports whether a host name is this terminal's, as people have set it: nobody is sent elsewhere. What its agent says of
// its own names and addresses does not count, or a machine that was taken over could have all others knock at any door of the plant.
func (p *place) mayBeProbed(host string) bool {
	names := []string{p.terminal.GetName()}
	for _, h := range p.own() {
		names = append(names, h.GetHost())
		if u, err := url.Parse(h.GetUrl()); err == nil {
			names = append(names, u.Hostname())
		}
	}
	for _, name := range names {
		if name != "" && strings.EqualFold(strings.TrimSuffix(name, "."), strings.TrimSuffix(host, ".")) {
			return true
		}
	}
	return false
}

// maxRoots bounds what one question may ask for.
const maxRoots = 16

// coverage says which of the terminals that use this host trust one of the roots.
func (d *Desk) coverage(ctx context.Context, terminalID string, q *actionv1.CoverageQuery) (*actionv1.Coverage, error) {
	if n := len(q.GetRootSha256()); n == 0 || n > maxRoots {
		return nil, refusal.New(refusal.Invalid, "BAD_ROOTS", "coverage: asks for %d roots, want 1 to %d", n, maxRoots)
	}
	p, err := d.place(ctx, terminalID)
	if err != nil {
		return nil, err
	}
	users, err := d.usersOf(ctx, p)
	if err != nil {
		return nil, err
	}
	return d.cfg.Scans.Coverage(ctx, users, q.GetRootSha256(), d.cfg.Link.Online)
}

// usersCache remembers for a short time how many terminals use the hosts of a site.
type usersCache struct {
	mu    sync.Mutex
	sites map[string]*siteUsers
}

type siteUsers struct {
	at   time.Time
	etag string
	// counts are by the expression that says who.
	counts map[string]uint32
}

// countUsers counts who uses the hosts of a site, by the expression that says who. Of those who ask at the same time one counts.
func (d *Desk) countUsers(ctx context.Context, site *fleetv1.Site) (map[string]uint32, error) {
	d.users.mu.Lock()
	defer d.users.mu.Unlock()
	known, now := d.users.sites[site.GetName()], d.cfg.Now()
	if known != nil && known.etag == site.GetEtag() && now.Sub(known.at).Abs() < usersAge {
		return known.counts, nil
	}
	counts := map[string]uint32{}
	if hosts := site.GetSettings().GetNesHosts(); len(hosts) > 0 {
		all, err := d.cfg.Inventory.AtSite(ctx, site.GetName())
		if err != nil {
			return nil, err
		}
		for _, h := range hosts {
			if _, counted := counts[h.GetUsedBy()]; !counted {
				counts[h.GetUsedBy()] = d.count(all, h)
			}
		}
	}
	d.users.sites[site.GetName()] = &siteUsers{at: now, etag: site.GetEtag(), counts: counts}
	return counts, nil
}

func (d *Desk) count(all []*storagev1.TerminalRecord, h *fleetv1.NESHost) (n uint32) {
	for _, r := range all {
		if d.uses(r.GetTerminal(), h) {
			n++
		}
	}
	return n
}
