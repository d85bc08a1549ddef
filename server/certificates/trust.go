package certificates

import (
	"context"
	"slices"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/paging"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	// maxNamed is how many terminals one list names.
	maxNamed = 1000
	// maxNamedInAll is how many one answer names, so that it can be sent.
	maxNamedInAll = 20_000
)

// Trust lists, for each approved root of the sites that the caller may know of, who trusts it.
func (k *Keeper) Trust(ctx context.Context, p *access.Principal, req *fleetv1.ListTrustRequest) (*fleetv1.ListTrustResponse, error) {
	sites, err := k.sites(ctx, p, req.GetSite())
	if err != nil {
		return nil, err
	}
	answer := &fleetv1.ListTrustResponse{}
	left := maxNamedInAll
	for _, s := range sites {
		roots := slices.DeleteFunc(slices.Clone(s.GetSettings().GetApprovedRoots()), func(r *fleetv1.ApprovedRoot) bool { return !named(r, req.GetRoot()) })
		if len(roots) == 0 {
			continue
		}
		found, err := k.trustAt(ctx, s.GetName(), roots, &left)
		if err != nil {
			return nil, err
		}
		answer.Roots = append(answer.Roots, found...)
	}
	if req.GetRoot() != "" && len(answer.GetRoots()) == 0 {
		return nil, refusal.New(refusal.NotFound, "NOT_FOUND", "root %q: is no approved root of your sites", refusal.Shown(req.GetRoot())).At("root").
			Then("list those that are with `fleetctl get trust`")
	}
	return answer, nil
}

// sites are the one that is named, or all that the caller may know of.
func (k *Keeper) sites(ctx context.Context, p *access.Principal, name string) ([]*fleetv1.Site, error) {
	if name != "" {
		s, err := k.cfg.Inventory.Site(ctx, name)
		if err != nil {
			return nil, err
		}
		o := access.Object{Kind: access.Site, Name: name, Field: "site"}
		return []*fleetv1.Site{s}, access.CheckSites(p, access.Read, access.Every, o, []string{s.GetName()})
	}
	var all []*fleetv1.Site
	for page := (inventory.Page{Size: paging.Most}); ; {
		sites, next, err := k.cfg.Inventory.Sites(ctx, p, page)
		if all = append(all, sites...); err != nil || next == "" {
			return all, err
		}
		page.Token = next
	}
}

func named(r *fleetv1.ApprovedRoot, root string) bool {
	return root == "" || strings.EqualFold(r.GetName(), root) || strings.EqualFold(r.GetSha256(), root)
}

func (k *Keeper) trustAt(ctx context.Context, site string, roots []*fleetv1.ApprovedRoot, left *int) ([]*fleetv1.RootTrust, error) {
	terminals, err := k.cfg.Inventory.AtSite(ctx, site)
	if err != nil {
		return nil, err
	}
	var out []*fleetv1.RootTrust
	for _, r := range roots {
		out = append(out, &fleetv1.RootTrust{Site: site, Name: r.GetName(), Sha256: r.GetSha256()})
	}
	err = k.eachScan(ctx, terminals, func(t *fleetv1.Terminal, rec *storagev1.CertificatesRecord) {
		for _, r := range out {
			switch trusted, known := rec.GetReport().GetRoots()[r.GetSha256()]; {
			case trusted:
				r.Trusting++
			case known:
				r.MissingTotal++
				r.Missing = append(r.Missing, t.GetName())
			default:
				r.UnknownTotal++
				r.Unknown = append(r.Unknown, t.GetName())
			}
		}
	})
	for _, r := range out {
		r.Missing, r.Unknown = shortened(r.GetMissing(), left), shortened(r.GetUnknown(), left)
	}
	return out, err
}

// shortened sorts names and leaves out what is too many.
func shortened(names []string, left *int) []string {
	slices.Sort(names)
	names = names[:min(len(names), maxNamed, max(0, *left))]
	*left -= len(names)
	return names
}

// eachScan calls fn for each of these terminals with what its last scan found, nil when there was none.
func (k *Keeper) eachScan(ctx context.Context, terminals []*storagev1.TerminalRecord, fn func(*fleetv1.Terminal, *storagev1.CertificatesRecord)) error {
	for chunk := range slices.Chunk(terminals, scanChunk) {
		err := k.cfg.Store.View(ctx, func(v store.Snapshot) error {
			for _, t := range chunk {
				rec, err := read(v, t.GetTerminal().GetId())
				if err != nil {
					return err
				}
				fn(t.GetTerminal(), rec)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Coverage says which of these terminals trust one of the roots, as of their last scan.
func (k *Keeper) Coverage(ctx context.Context, terminals []*storagev1.TerminalRecord, roots []string, online func(terminalID string) bool) (*actionv1.Coverage, error) {
	c := &actionv1.Coverage{Users: uint32(len(terminals))}
	err := k.eachScan(ctx, terminals, func(t *fleetv1.Terminal, rec *storagev1.CertificatesRecord) {
		trusted, known := trusts(rec, roots)
		switch {
		case trusted:
			c.Trusting++
			return
		case known:
			c.Missing = append(c.Missing, t.GetName())
		default:
			c.Unknown = append(c.Unknown, t.GetName())
		}
		if !online(t.GetId()) {
			c.Offline = append(c.Offline, t.GetName())
		}
	})
	for _, list := range []*[]string{&c.Missing, &c.Unknown, &c.Offline} {
		slices.Sort(*list)
		*list = (*list)[:min(len(*list), maxNamed)]
	}
	return c, err
}

// trusts reports whether a scan found one of the roots to be trusted, and whether it looked for all of them.
func trusts(rec *storagev1.CertificatesRecord, roots []string) (trusted, known bool) {
	known = rec != nil
	for _, r := range roots {
		yes, looked := rec.GetReport().GetRoots()[r]
		if !looked {
			yes, looked = hasRoot(rec.GetReport(), r)
		}
		trusted, known = trusted || yes, known && looked
	}
	return trusted, known
}

// hasRoot looks for a root that is no approved one among the certificates that a scan lists. One that is not listed may be there.
func hasRoot(report *actionv1.CertificateReport, sha256 string) (trusted, known bool) {
	for _, c := range report.GetCertificates() {
		if c.GetSha256() == sha256 && strings.EqualFold(c.GetStore(), "Root") {
			return true, true
		}
	}
	return false, false
}
