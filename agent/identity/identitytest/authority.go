// Package identitytest is a CA for tests: it gives certificates as a server would, and as a server must not. Tests of the
// agent's packages use it; it runs inside testing/synctest bubbles.
package identitytest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/identity"
	fleetid "github.com/bandfleet/bandfleet/proto/identity"
)

// TerminalID is the terminal of every certificate that Grant gives.
const TerminalID = "T-1"

// Authority is a CA.
type Authority struct {
	Certificate *x509.Certificate
	// Life is how long the certificates live that it gives, and Age how long ago their life began.
	Life, Age time.Duration

	t   testing.TB
	key *ecdsa.PrivateKey
}

// New makes a CA that is a month old and gives certificates for a week.
func New(t testing.TB) *Authority {
	t.Helper()
	key, err := fleetid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	a := &Authority{Life: 7 * 24 * time.Hour, Age: 30 * 24 * time.Hour, t: t, key: key}
	a.Certificate = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour),
	}, key.Public())
	a.Age = 0
	return a
}

func (a *Authority) sign(c *x509.Certificate, pub any) *x509.Certificate {
	a.t.Helper()
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore = time.Now().Add(-a.Age)
	if c.NotAfter.IsZero() {
		c.NotAfter = c.NotBefore.Add(a.Life)
	}
	parent := a.Certificate
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return out
}

// Name is a name as it stands in a certificate.
func Name(t testing.TB, kind fleetid.Kind, id string) *url.URL {
	t.Helper()
	u, err := fleetid.Name{Kind: kind, ID: id}.URI()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Issue gives an agent's certificate for pub after spoil, if any, had its way with it.
func (a *Authority) Issue(pub any, spoil func(*x509.Certificate)) identity.Grant {
	a.t.Helper()
	c := &x509.Certificate{
		URIs:        []*url.URL{Name(a.t, fleetid.KindAgent, TerminalID)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if spoil != nil {
		spoil(c)
	}
	return identity.Grant{Chain: [][]byte{a.sign(c, pub).Raw}, Bundle: [][]byte{a.Certificate.Raw}}
}

// Grant answers a certificate request.
func (a *Authority) Grant(csr []byte) identity.Grant {
	a.t.Helper()
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.Issue(request.PublicKey, nil)
}

// ServerTLS is the configuration of a server of this CA.
func (a *Authority) ServerTLS() *tls.Config {
	a.t.Helper()
	key, err := fleetid.GenerateKey()
	if err != nil {
		a.t.Fatal(err)
	}
	leaf := a.sign(&x509.Certificate{
		URIs:        []*url.URL{Name(a.t, fleetid.KindServer, "fleetd")},
		DNSNames:    []string{fleetid.ServerDNSName},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotAfter:    time.Now().Add(365 * 24 * time.Hour),
	}, key.Public())
	certificate := &tls.Certificate{Certificate: [][]byte{leaf.Raw, a.Certificate.Raw}, PrivateKey: key}
	return fleetid.ServerTLS(func() (*tls.Certificate, error) { return certificate, nil }, fleetid.Pool(a.Certificate))
}

// Enrol completes an enrolment in an empty data directory.
func (a *Authority) Enrol(d identity.Dir, r identity.Record) identity.Keys {
	a.t.Helper()
	keys, err := d.MakeKeys()
	if err != nil {
		a.t.Fatal(err)
	}
	if err := d.Complete(r, keys, a.Issue(keys.TLS.Public(), nil), fleetid.Fingerprint(a.Certificate)); err != nil {
		a.t.Fatal(err)
	}
	return keys
}
