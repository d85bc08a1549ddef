package detect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
)

// defaultSite is the web site that NES is installed in.
const defaultSite = "Default Web Site"

// The three applications of NES, as their folders are called; the agent's roots of their folders have the same names.
const (
	console        = "nes"
	enrollment     = "nenrollment"
	authentication = "authenticationservice"
)

func applicationNames() []string { return []string{console, enrollment, authentication} }

// application is an application of the web server that belongs to NES.
type application struct {
	name             string
	site, path, pool string
}

// applicationsOf picks them out, by the last element of their folders, else of their paths.
func applicationsOf(inv *actionv1.IISInventory) []application {
	var found []application
	for _, a := range inv.GetApplications() {
		for _, text := range []string{a.GetFolder(), a.GetPath()} {
			if name := lastElement(text); slices.Contains(applicationNames(), name) {
				found = append(found, application{name, a.GetSite(), a.GetPath(), a.GetPool()})
				break
			}
		}
	}
	return found
}

func lastElement(path string) string {
	elements := strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' })
	if len(elements) == 0 {
		return ""
	}
	return strings.ToLower(elements[len(elements)-1])
}

// used are the sites or pools of applications, sorted.
func used(apps []application, of func(application) string) []string {
	var all []string
	for _, a := range apps {
		if text := of(a); text != "" {
			all = append(all, text)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func sites(apps []application) []string {
	if found := used(apps, func(a application) string { return a.site }); len(found) > 0 {
		return found
	}
	return []string{defaultSite}
}

func containsFold(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// readWeb reads sites, pools, bindings and their certificates.
func readWeb(ctx context.Context, v view) ([]Reading, error) {
	inv, err := v.cfg.Host.IIS.Inventory(ctx)
	if err == nil && !inv.GetInstalled() {
		err = errors.New("this machine has no IIS")
	}
	if err != nil {
		return nil, err
	}
	apps := applicationsOf(inv)
	all := siteReadings(ctx, v, inv, sites(apps))
	all = append(all, poolReadings(ctx, v, inv, apps)...)
	return append(all, bindingReadings(ctx, v, sites(apps))...), nil
}

// runs says whether a service runs. While it does not, what it keeps up is stopped for that reason alone, and says nothing.
func runs(ctx context.Context, v view, service string) bool {
	state, err := v.cfg.Host.Services.State(ctx, service)
	return err == nil && serviceValue(state) == "running"
}

func siteReadings(ctx context.Context, v view, inv *actionv1.IISInventory, wanted []string) []Reading {
	up := runs(ctx, v, webService)
	var all []Reading
	for _, s := range inv.GetSites() {
		switch {
		case !containsFold(wanted, s.GetName()):
		case !up:
			all = append(all, unknownOf("iis-site", s.GetName(), fmt.Errorf("the service %s does not run", webService)))
		default:
			all = append(all, readOf("iis-site", s.GetName(), either(s.GetStarted(), "started", "stopped"), said("site", s.GetName())))
		}
	}
	return all
}

func poolReadings(ctx context.Context, v view, inv *actionv1.IISInventory, apps []application) []Reading {
	up := runs(ctx, v, processService)
	wanted := used(apps, func(a application) string { return a.pool })
	var all []Reading
	for _, p := range inv.GetPools() {
		if !containsFold(wanted, p.GetName()) {
			continue
		}
		local := strings.EqualFold(p.GetIdentity(), "LocalService")
		all = append(all, readOf("app-pool-identity", p.GetName(), either(local, "local-service", "ok"), said("pool", p.GetName()), said("identity", p.GetIdentity())))
		if !up {
			all = append(all, unknownOf("app-pool", p.GetName(), fmt.Errorf("the service %s does not run", processService)))
			continue
		}
		all = append(all, readOf("app-pool", p.GetName(), either(p.GetStarted(), "started", "stopped"), said("pool", p.GetName())))
	}
	return all
}

// bindingReadings reads the https bindings of sites, and the certificates that they serve.
func bindingReadings(ctx context.Context, v view, wanted []string) []Reading {
	bindings, err := v.cfg.Host.Bindings.List(ctx)
	if err != nil {
		return unknown(err, "https-binding", "tls-certificate")
	}
	var all []Reading
	for _, site := range wanted {
		own := slices.DeleteFunc(slices.Clone(bindings), func(b *actionv1.Binding) bool { return !strings.EqualFold(b.GetSite(), site) })
		all = append(all, siteBindings(ctx, v, site, own)...)
	}
	return all
}

func siteBindings(ctx context.Context, v view, site string, own []*actionv1.Binding) []Reading {
	const signal = "https-binding"
	if len(own) == 0 {
		return []Reading{readOf(signal, site, "missing", said("site", site))}
	}
	var certificates []Reading
	verdict := readOf(signal, site, "ok", said("site", site))
	for _, b := range own {
		c, err := boundTo(ctx, v, b)
		endpoint := fmt.Sprintf("%s:%d:%s", b.GetAddress(), b.GetPort(), b.GetHost())
		switch {
		case err != nil:
			verdict = unknownOf(signal, site, err)
		case c == nil && verdict.Value != catalogue.Unknown:
			verdict = readOf(signal, site, "no-certificate", said("site", site), said("binding", endpoint), said("sha256", b.GetCertificateSha256()))
		case c != nil && !slices.ContainsFunc(certificates, func(r Reading) bool { return r.Subject == c.GetSha256() }):
			certificates = append(certificates, readOf("tls-certificate", c.GetSha256(), validity(c, time.Now()),
				append([]seen{said("site", site), said("binding", endpoint)}, certificateSeen(c)...)...))
		}
	}
	return append(certificates, verdict)
}

// boundTo finds a binding's certificate; nil when it has none, or one that is not there with its key.
func boundTo(ctx context.Context, v view, b *actionv1.Binding) (*actionv1.Certificate, error) {
	if b.GetCertificateSha256() == "" {
		return nil, nil
	}
	list, err := v.cfg.Host.Certificates.List(ctx, b.GetStore())
	if err != nil {
		return nil, err
	}
	c := bySHA256(list, b.GetCertificateSha256())
	if c != nil && !c.GetHasPrivateKey() {
		return nil, nil
	}
	return c, nil
}
