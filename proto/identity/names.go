// Package identity is how the programs of a fleet know each other: the names in certificates, the one TLS configuration per
// kind of peer, enrolment tokens, and keys. Server, agent and CLI all use it; nothing else decides who somebody is.
package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// TrustDomain is the trust domain of every name. Fleets are told apart by their CA, not by this.
const TrustDomain = "bandfleet"

// ServerDNSName is the DNS name in every server certificate. Clients ask for it whatever address they dial, so that a
// server may move without a new certificate.
const ServerDNSName = "fleetd.bandfleet"

// Kind is the kind of a peer.
type Kind string

// The kinds of peers.
const (
	KindServer   Kind = "server"
	KindAgent    Kind = "agent"
	KindOperator Kind = "operator"
)

// Name is who a certificate speaks for: "operator/ada", "agent/T-0142", "server/fleetd".
type Name struct {
	Kind Kind
	// ID is a terminal's id, an operator's name or a server's name.
	ID string
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$`)

// String returns "kind/id", the form used in audit records and logs.
func (n Name) String() string { return string(n.Kind) + "/" + n.ID }

// URI returns the SPIFFE id that stands in a certificate, or an error when the name cannot be one.
func (n Name) URI() (*url.URL, error) {
	switch n.Kind {
	case KindServer, KindAgent, KindOperator:
	default:
		return nil, fmt.Errorf("name %q: unknown kind %q", n, n.Kind)
	}
	if !idPattern.MatchString(n.ID) {
		return nil, fmt.Errorf("name %q: id must be 1 to 63 letters, digits, dots or dashes", n)
	}
	id, err := spiffeid.FromSegments(spiffeid.RequireTrustDomainFromString(TrustDomain), string(n.Kind), n.ID)
	if err != nil {
		return nil, fmt.Errorf("name %q: %w", n, err)
	}
	return id.URL(), nil
}

// ParseURI reads a name from a SPIFFE id.
func ParseURI(u *url.URL) (Name, error) {
	id, err := spiffeid.FromURI(u)
	if err != nil {
		return Name{}, fmt.Errorf("certificate name %q: %w", u, err)
	}
	kind, rest, ok := strings.Cut(strings.TrimPrefix(id.Path(), "/"), "/")
	n := Name{Kind: Kind(kind), ID: rest}
	if id.TrustDomain().Name() != TrustDomain || !ok {
		return Name{}, fmt.Errorf("certificate name %q is not of this fleet", u)
	}
	if _, err := n.URI(); err != nil {
		return Name{}, err
	}
	return n, nil
}

// FromCertificate reads whom a verified certificate speaks for. It must hold exactly one URI.
func FromCertificate(c *x509.Certificate) (Name, error) {
	if c == nil {
		return Name{}, errors.New("no certificate")
	}
	if len(c.URIs) != 1 {
		return Name{}, fmt.Errorf("certificate %q: %d URI names, want exactly one", c.Subject, len(c.URIs))
	}
	return ParseURI(c.URIs[0])
}
