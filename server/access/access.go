// Package access decides who may do what: it turns a verified certificate into a principal, and holds the one table that says
// for each RPC who may call it and on which sites (rules.go). What is not in the table is refused. The API's interceptors call
// it for every call; domain packages ask the principal when a call concerns many sites.
//
// An object outside of the caller's sites is answered as one that does not exist, in the same words, so that nobody learns
// what is at other sites.
package access

import (
	"context"
	"crypto/x509"
	"slices"
	"strings"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// AllSites stands in a role binding for every site.
const AllSites = "*"

// Right is a kind of thing that an operator may do at a site.
type Right int

// The rights.
const (
	// Read shows what is there.
	Read Right = iota + 1
	// Act asks for jobs, and keeps labels and bands.
	Act
	// Approve approves jobs of others.
	Approve
	// Admin lets machines and people in, and shuts them out.
	Admin
)

// String returns the right as a verb.
func (r Right) String() string {
	return [...]string{Read: "read", Act: "act on", Approve: "approve for", Admin: "administer"}[r]
}

// rightsOf says what each role may do. A role that is not here may do nothing.
func rightsOf(role fleetv1.OperatorRole) []Right {
	switch role {
	case fleetv1.OperatorRole_OPERATOR_ROLE_VIEWER:
		return []Right{Read}
	case fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR:
		return []Right{Read, Act}
	case fleetv1.OperatorRole_OPERATOR_ROLE_APPROVER:
		return []Right{Read, Approve}
	case fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN:
		return []Right{Read, Act, Approve, Admin}
	default:
		return nil
	}
}

// Principal is who calls. Exactly one of Operator and Terminal is set.
type Principal struct {
	Name     identity.Name
	Operator *fleetv1.Operator
	// Key is the hash of the public key that an operator showed.
	Key []byte
	// Terminal holds id, name, site, role and state as they were when the agent was authenticated, and in tls_key_sha256 the
	// key that it showed; nothing else.
	Terminal *storagev1.TerminalRecord
	// Leaf is the certificate that an agent showed.
	Leaf *x509.Certificate
}

// May reports whether the principal holds a right at a site. Agents hold none.
func (p *Principal) May(r Right, site string) bool {
	all, sites := p.Sites(r)
	return all || slices.Contains(sites, Fold(site))
}

// Sites returns where the principal holds a right: at all sites, or at these, sorted.
func (p *Principal) Sites(r Right) (all bool, sites []string) {
	if p == nil {
		return false, nil
	}
	for _, b := range p.Operator.GetBindings() {
		if !slices.Contains(rightsOf(b.GetRole()), r) {
			continue
		}
		for _, s := range b.GetSites() {
			if s == AllSites {
				return true, nil
			}
			sites = append(sites, Fold(s))
		}
	}
	slices.Sort(sites)
	return false, slices.Compact(sites)
}

// Fold brings a name into the form in which it is compared: names are matched in any case.
func Fold(name string) string { return strings.ToLower(name) }

type contextKey struct{}

// With returns a context that carries the principal.
func With(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// From returns the principal of a call, or nil when nobody was authenticated. A nil principal may do nothing.
func From(ctx context.Context) *Principal {
	p, _ := ctx.Value(contextKey{}).(*Principal)
	return p
}

// NotFound is the one answer for an object that does not exist or that the caller may not know of.
func NotFound(kind ObjectKind, name string) *refusal.Error {
	return refusal.New(refusal.NotFound, "NOT_FOUND", "%s %q: not found", kind, refusal.Shown(name)).
		Then("check the name; `fleetctl get` lists what is at your sites")
}
