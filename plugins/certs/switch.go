package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Effects of a switch, by their ids in a plan.
const (
	effectImport   = "import"
	effectBind     = "bind"
	effectCanaries = "canaries"
)

const (
	maxSwitch = 10 * time.Minute
	// probeTimeout is how long this host may take to answer itself, peerTimeout how long terminals may take.
	probeTimeout = 10 * time.Second
	peerTimeout  = time.Minute
	// serveTries is how often it is looked whether the new certificate is served, serveWait how long it is waited in between.
	serveTries = 5
	serveWait  = time.Second
)

// switchAction is what the actions that change a binding have in common.
func switchAction(minDays int) *actionv1.Action {
	return &actionv1.Action{
		Params: []*actionv1.Param{
			sdk.Text("site", "Default Web Site", "the site whose https binding is changed", 200, `[^/\\?;:@&=+$,|"<>*]+`, "the name of a site"),
			withDefault(sdk.Integer("port", 1, 65535, "the port of the binding"), 443),
			sdk.Text("host", "", "the host header of the binding; not set: the one without", 253, `[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?`, "the name of a host"),
			withDefault(sdk.Integer("min_days", 0, 3650, "refuse a certificate that ends earlier than in so many days"), minDays),
			sdk.List(sdk.Text("accept_missing", "", "terminals that may be cut off because they do not trust the certificate's root, each by name", 63,
				`[A-Za-z0-9][A-Za-z0-9._-]*`, "names of terminals")),
			sdk.List(sdk.Text("drop_names", "", "names of the present certificate that nobody uses any more, which the new one need not have", 253,
				`[A-Za-z0-9*][A-Za-z0-9.:*-]*`, "names of hosts")),
			withDefault(sdk.Integer("canaries", 0, 20, "how many terminals must connect and trust what is served, before the change counts; 0 asks none"), 2),
		},
		Capabilities: []*actionv1.Capability{
			sdk.ReadSite(), sdk.ReadMachine(), sdk.ReadBindings(), sdk.SetBindings(), sdk.ReadIIS(), sdk.ProbeInventory(), sdk.ProbeFromPeers(),
			sdk.ReadCertificates(storeWebHosting), sdk.ReadCertificates(storeMy), sdk.ReadCertificates(storeRoot), sdk.ReadCertificates(storeCA),
		},
		Repeatability: actionv1.Repeatability_REPEATABILITY_PROBE,
		Resources:     []string{"certs", "iis"},
		Disruptive:    true,
		Interrupts:    "Open https connections to the host, for a few seconds. Terminals that are accepted as missing stay cut off.",
		Verifies: "The binding has the certificate; a TLS handshake by the host's own name gives it, with a chain that the host trusts; the applications of the site do " +
			"not answer with an error of the server; terminals that use the host have connected and trust it.",
		Source:    "Replacing an expired TLS certificate; Server Certificates; Edit Bindings",
		Roles:     []string{"nes-host"},
		Approvals: 1,
	}
}

func withDefault(p *actionv1.Param, value int) *actionv1.Param {
	p.DefaultValue = strconv.Itoa(value)
	return p
}

func thumbprintParam(name, help string) *actionv1.Param {
	return sdk.Text(name, "", help, 64, `[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}`, "40 or 64 hexadecimal digits without blanks")
}

// importer plans how the certificate comes to the host.
type importer func(ctx context.Context, r *sdk.Run, c candidate) (*actionv1.PlannedEffect, error)

// planSwitch plans that a binding serves a certificate. It refuses whatever would cut somebody off.
func planSwitch(ctx context.Context, r *sdk.Run, c candidate, imports importer) (*actionv1.Plan, error) {
	s, refusal, err := readScene(ctx, r)
	if err != nil || refusal != nil {
		return refusal, err
	}
	r.Evidence("bound now", "%s", s.bound())
	r.Evidence("new certificate", "%s, sha256 %s", named(c.Certificate), c.GetSha256())
	if s.binding.GetExists() && s.binding.GetCertificateSha256() == c.GetSha256() {
		return sdk.NoChange(fmt.Sprintf("%s serves %s already", s.want, named(c.Certificate))), nil
	}
	names := s.own.inUse(s.binding, s.present, list(r, "drop_names"))
	r.Evidence("names in use", "%s", strings.Join(names, ", "))
	roots, problem := s.trusted.rootsOf(c.Certificate, c.with, s.now)
	problems := c.problems(s.now, r.Int("min_days"), names)
	if problem != "" {
		problems = append(problems, problem)
	}
	if len(problems) > 0 {
		return sdk.Refuse(fmt.Sprintf("the certificate %s must not be served: %s", named(c.Certificate), strings.Join(problems, "; ")),
			"have a certificate issued that is right; if its root is not trusted here, install that with root-cert-install first"), nil
	}
	cov, refusal, err := checkTrust(ctx, r, roots)
	if err != nil || refusal != nil {
		return refusal, err
	}
	return s.plan(ctx, r, c, cov, imports)
}

// plan puts the effects together.
func (s *scene) plan(ctx context.Context, r *sdk.Run, c candidate, cov *actionv1.Coverage, imports importer) (*actionv1.Plan, error) {
	var effects []*actionv1.PlannedEffect
	if imports != nil {
		e, err := imports(ctx, r, c)
		if err != nil {
			return nil, err
		}
		if e != nil {
			effects = append(effects, e)
		}
	}
	after := serving(s.binding, c.GetSha256(), c.store)
	effects = append(effects, sdk.Planned(effectBind, sdk.BindingSet(s.binding, after), s.bound(), named(c.Certificate)))
	canaries := min(uint32(r.Int("canaries")), cov.GetTrusting()) // 0 to 20 by the manifest
	if canaries > 0 {
		effects = append(effects, sdk.Planned(effectCanaries, sdk.PeerProbe(canaries, s.own.target(after), c.GetSha256(), peerTimeout, list(r, "accept_missing")...),
			"not asked", fmt.Sprintf("%d terminals connect and trust %s", canaries, named(c.Certificate))))
	}
	p := sdk.Ready(effects...)
	if accepted := list(r, "accept_missing"); len(accepted) > 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("these terminals were accepted and may be cut off until they trust the new root: %s", some(accepted)))
	}
	if canaries < uint32(r.Int("canaries")) { // as above
		p.Warnings = append(p.Warnings, fmt.Sprintf("%d terminals will try it, not %d: no more that use this host are known to trust it", canaries, r.Int("canaries")))
	}
	return p, nil
}

// scene is the host before a switch.
type scene struct {
	want    wanted
	now     time.Time
	own     *ownHost
	binding *actionv1.Binding
	// present is the certificate that is served now, nil when there is none or it is in no store.
	present *actionv1.Certificate
	trusted trusted
}

func readScene(ctx context.Context, r *sdk.Run) (*scene, *actionv1.Plan, error) {
	s := &scene{want: wantedOf(r)}
	site, err := r.Site(ctx)
	if err != nil {
		refusal, err := unanswered(ctx, err)
		return nil, refusal, err
	}
	if s.own = ownHostOf(site); s.own == nil {
		return nil, sdk.Refuse("the server does not know this machine as a NES host of its site", "name it with its URL in the site's settings: `fleetctl site set`"), nil
	}
	if s.now, err = readTime(ctx, r); err != nil {
		return nil, nil, err
	}
	if refusal, err := s.readBinding(ctx, r); err != nil || refusal != nil {
		return nil, refusal, err
	}
	s.trusted, err = readTrusted(ctx, r)
	return s, nil, err
}

func (s *scene) readBinding(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	web, err := r.IIS(ctx)
	if err != nil {
		return nil, err
	}
	if !web.GetInstalled() {
		return sdk.Refuse("this machine has no web server (IIS)", "choose the NES host; if this is the one, install IIS there first"), nil
	}
	if !slices.ContainsFunc(web.GetSites(), func(x *actionv1.IISSite) bool { return strings.EqualFold(x.GetName(), s.want.site) }) {
		return sdk.Refuse(fmt.Sprintf("the web server has no site %q", s.want.site), "name the site as the web server does"), nil
	}
	if s.want.host != "" && !s.own.has(s.want.host) {
		return sdk.Refuse(fmt.Sprintf("the host header %s is none of the names of this host: %s", s.want.host, some(s.own.names)),
			"name the host by it in the site's settings, or choose another binding"), nil
	}
	all, err := r.Bindings(ctx)
	if err != nil {
		return nil, err
	}
	var problem string
	if s.binding, problem = s.want.among(all); problem != "" {
		return sdk.Refuse(problem, "look at the bindings of the web server, and choose one with site, port and host"), nil
	}
	s.present, err = servedBy(ctx, r, s.binding)
	return nil, err
}

// servedBy finds the certificate that a binding serves, nil when it is in no store.
func servedBy(ctx context.Context, r *sdk.Run, b *actionv1.Binding) (*actionv1.Certificate, error) {
	for _, store := range []string{storeWebHosting, storeMy} {
		if b.GetCertificateSha256() == "" || !strings.EqualFold(store, b.GetStore()) {
			continue
		}
		there, err := r.Certificates(ctx, store)
		for _, c := range there {
			if c.GetSha256() == b.GetCertificateSha256() {
				return c, err
			}
		}
		return nil, err
	}
	return nil, nil
}

// bound is what is served now, in words.
func (s *scene) bound() string {
	switch {
	case !s.binding.GetExists():
		return "there is no such binding"
	case s.present != nil:
		return named(s.present)
	case s.binding.GetCertificateSha256() == "":
		return "nothing is bound"
	}
	return "a certificate that is in no store, sha256 " + s.binding.GetCertificateSha256()
}
