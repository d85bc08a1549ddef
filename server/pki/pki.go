// Package pki is the fleet's certificate authority. It owns the CA's key and certificate in the data directory, keeps the
// server's own certificate fresh, and signs those of agents and operators. Whom it signs for is decided by its callers: a
// request contributes a public key and nothing else.
package pki

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"sync"
	"time"

	"github.com/bandfleet/bandfleet/proto/identity"
)

// Lifetimes.
const (
	// DefaultAgentTTL is how long an agent's certificate is valid unless configured otherwise.
	DefaultAgentTTL = 7 * 24 * time.Hour
	// DefaultOperatorTTL is how long an operator's certificate is valid unless asked otherwise.
	DefaultOperatorTTL = 90 * 24 * time.Hour

	caTTL     = 10 * 365 * 24 * time.Hour
	serverTTL = 90 * 24 * time.Hour
	// backdate lets a certificate be used by machines whose clock is a little late.
	backdate = 5 * time.Minute
)

// Config says where the authority lives and how it signs.
type Config struct {
	// Dir is the data directory; ca.key and ca.crt lie in it.
	Dir string
	// AgentTTL is the life of agents' certificates; 0 means DefaultAgentTTL.
	AgentTTL time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Authority signs certificates. Safe for concurrent use.
type Authority struct {
	now      func() time.Time
	agentTTL time.Duration
	key      *ecdsa.PrivateKey
	ca       *x509.Certificate

	mu     sync.Mutex
	server *tls.Certificate
}

// Open loads the authority of a data directory, or makes it when there is none. It refuses a key that others may read.
func Open(c Config) (*Authority, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.AgentTTL == 0 {
		c.AgentTTL = DefaultAgentTTL
	}
	a := &Authority{now: c.Now, agentTTL: c.AgentTTL}
	if err := a.load(c.Dir); err != nil {
		return nil, fmt.Errorf("certificate authority in %q: %w", c.Dir, err)
	}
	if _, err := a.ServerCertificate(); err != nil {
		return nil, fmt.Errorf("certificate authority in %q: %w", c.Dir, err)
	}
	return a, nil
}

// TrustBundle returns the CA certificates that members of the fleet trust, DER.
func (a *Authority) TrustBundle() [][]byte { return [][]byte{a.ca.Raw} }

// Pool returns the CA certificates whose clients may connect.
func (a *Authority) Pool() *x509.CertPool { return identity.Pool(a.ca) }

// Fingerprint is what enrolment tokens pin.
func (a *Authority) Fingerprint() [32]byte { return identity.Fingerprint(a.ca) }

// ServerCertificate returns the server's certificate with its chain up to and including the CA. A new one is made when two
// thirds of the life of the old one are over. It lives in memory only: what others pin is the CA.
func (a *Authority) ServerCertificate() (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server != nil && a.now().Before(renewAt(a.server.Leaf)) {
		return a.server, nil
	}
	fresh, err := a.newServerCertificate()
	if err != nil {
		return nil, fmt.Errorf("server certificate: %w", err)
	}
	a.server = fresh
	return fresh, nil
}

func renewAt(c *x509.Certificate) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) / 3 * 2)
}

func (a *Authority) newServerCertificate() (*tls.Certificate, error) {
	key, err := identity.GenerateKey()
	if err != nil {
		return nil, err
	}
	template, err := a.template(identity.Name{Kind: identity.KindServer, ID: "fleetd"}, serverTTL)
	if err != nil {
		return nil, err
	}
	template.DNSNames = []string{identity.ServerDNSName}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	leaf, err := a.sign(template, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw, a.ca.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// template is what all certificates but the CA's have in common.
func (a *Authority) template(name identity.Name, ttl time.Duration) (*x509.Certificate, error) {
	uri, err := name.URI()
	if err != nil {
		return nil, err
	}
	now := a.now()
	if !now.Before(a.ca.NotAfter) {
		return nil, fmt.Errorf("the CA certificate expired at %s; set the fleet up anew with another data directory", a.ca.NotAfter.Format(time.RFC3339))
	}
	end := now.Add(ttl)
	if end.After(a.ca.NotAfter) {
		end = a.ca.NotAfter
	}
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name.String()}, URIs: []*url.URL{uri}, NotBefore: now.Add(-backdate), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}, nil
}

func (a *Authority) sign(template *x509.Certificate, public *ecdsa.PublicKey) (*x509.Certificate, error) {
	return signWith(template, a.ca, public, a.key)
}

func signWith(template, parent *x509.Certificate, public *ecdsa.PublicKey, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	rand.Read(serial) // never fails: see crypto/rand
	serial[0] &= 0x7f
	template.SerialNumber = new(big.Int).SetBytes(serial)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
