package faults

import (
	"context"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/selector"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
)

// The kinds of things that faults of many terminals may have in common, as the catalogue names them.
const (
	kindNESHost     = "nes-host"
	kindNymiAgent   = "nymi-agent"
	kindCertificate = "certificate"
)

// placeAge is how old the reading of a site may be: when a whole site reports at once, its terminals are read once.
const placeAge = 10 * time.Second

// place is what is known of a site: which hosts its terminals depend on, and how many depend on each.
type place struct {
	at   time.Time
	etag string

	hosts   []*fleetv1.NESHost
	central string
	// terminals are all in service, and users those of them at which people sign in; byHost are users by the host that they use.
	terminals, users int
	byHost           map[string]int
	// roots are the names of the approved roots by their hashes.
	roots map[string]string
}

// places remembers readings of sites. Its zero value is ready.
type places struct {
	mu    sync.Mutex
	sites map[string]*place
}

// place reads a site, or remembers it. Of those who ask at the same time one reads.
func (d *Desk) place(ctx context.Context, name string) (*place, error) {
	site, err := d.cfg.Inventory.Site(ctx, name)
	if err != nil {
		return nil, err
	}
	d.places.mu.Lock()
	defer d.places.mu.Unlock()
	now, key := d.cfg.Now(), access.Fold(name)
	if p := d.places.sites[key]; p != nil && p.etag == site.GetEtag() && now.Sub(p.at).Abs() < placeAge {
		return p, nil
	}
	all, err := d.cfg.Inventory.AtSite(ctx, name)
	if err != nil {
		return nil, err
	}
	p := d.readPlace(site, all, now)
	if d.places.sites == nil {
		d.places.sites = map[string]*place{}
	}
	d.places.sites[key] = p
	return p, nil
}

func (d *Desk) readPlace(site *fleetv1.Site, all []*storagev1.TerminalRecord, now time.Time) *place {
	settings := site.GetSettings()
	p := &place{at: now, etag: site.GetEtag(), hosts: settings.GetNesHosts(), terminals: len(all), byHost: map[string]int{}, roots: rootsOf(settings)}
	if settings.GetNymiAgent() == fleetv1.NymiAgentPlacement_NYMI_AGENT_PLACEMENT_CENTRAL {
		p.central = hostOf(settings.GetNymiAgentUrl())
	}
	for _, r := range all {
		if r.GetTerminal().GetRole() == fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL {
			p.users++
		}
		for _, h := range p.hosts {
			if d.uses(r.GetTerminal(), h) {
				p.byHost[nameOf(h)]++
			}
		}
	}
	return p
}

// uses reports whether a terminal is a user terminal that uses a host.
func (d *Desk) uses(t *fleetv1.Terminal, h *fleetv1.NESHost) bool {
	if t.GetRole() != fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL {
		return false
	}
	if h.GetUsedBy() == "" {
		return true
	}
	e, err := selector.Parse(h.GetUsedBy())
	return err == nil && e.Matches(selector.Subject{Terminal: t, Online: d.cfg.Online(t.GetId()), Now: d.cfg.Now()})
}

// nameOf is the one name by which a host of the settings is compared.
func nameOf(h *fleetv1.NESHost) string {
	if name := hostOf(h.GetUrl()); name != "" {
		return name
	}
	return hostOf(h.GetHost())
}

// hostOf is the host in an address, which may be a URL, "host:port" or a name.
func hostOf(address string) string {
	address = strings.ToLower(strings.TrimSpace(address))
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		address = u.Host
	}
	address, _, _ = strings.Cut(address, "/")
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	return strings.TrimSuffix(strings.Trim(address, "[]"), ".")
}

// needed is how many terminals must have a fault of something before it is an incident: a twentieth of those that depend on it, and three
// at least.
func (p *place) needed(kind, subject string) int {
	depend := p.users
	switch kind {
	case kindNESHost:
		depend = p.byHost[subject]
	case kindCertificate:
		depend = p.terminals
	}
	return max(leastMembers, (depend*memberPercent+99)/100)
}

// inCommon is what a terminal's fault has in common with those of others, in the one form in which that is compared; empty when nothing.
func (d *Desk) inCommon(p *place, t *fleetv1.Terminal, kind, subject string) string {
	switch kind {
	case kindNESHost:
		return d.hostInCommon(p, t, hostOf(subject))
	case kindNymiAgent:
		if p.central == "" {
			return ""
		}
		if host := hostOf(subject); host != "" && host != p.central {
			return ""
		}
		return p.central
	case kindCertificate:
		return strings.ToLower(subject)
	default:
		return ""
	}
}

// hostInCommon is the host that is meant, by its name in the settings where they know it. A report that names none is of the host that the
// terminal uses.
func (d *Desk) hostInCommon(p *place, t *fleetv1.Terminal, host string) string {
	for _, h := range p.hosts {
		if host != "" && (host == nameOf(h) || host == hostOf(h.GetHost())) || host == "" && d.uses(t, h) {
			return nameOf(h)
		}
	}
	return host
}

// things are the subjects of a kind that a terminal is itself: faults there may be the cause of those elsewhere.
func (p *place) things(t *fleetv1.Terminal, kind string) (subjects []string) {
	names := []string{strings.ToLower(t.GetId()), strings.ToLower(t.GetName())}
	is := func(host string) bool {
		short, _, _ := strings.Cut(host, ".")
		return host != "" && (host == names[0] || host == names[1] || short == names[1])
	}
	switch kind {
	case kindNESHost:
		for _, h := range p.hosts {
			if is(hostOf(h.GetHost())) || t.GetRole() == fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST && is(nameOf(h)) {
				subjects = append(subjects, nameOf(h))
			}
		}
	case kindNymiAgent:
		if is(p.central) {
			subjects = append(subjects, p.central)
		}
	}
	return subjects
}
