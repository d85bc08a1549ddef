package identity

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	fleetid "github.com/bandfleet/bandfleet/proto/identity"
)

// Grant is what a server gave for a certificate request: a chain and the CAs to trust from now on, DER, leaf first.
type Grant struct {
	Chain  [][]byte
	Bundle [][]byte
}

// checked is a grant that was found good.
type checked struct {
	chain []*x509.Certificate
	cas   []*x509.Certificate
}

// check refuses a grant that would not let this machine connect as the terminal: not for our key, not in its name, not for a
// client, or not from a CA of the bundle.
func (g Grant) check(key *ecdsa.PublicKey, terminalID string) (checked, error) {
	chain, err := parseAll(g.Chain)
	if err != nil {
		return checked{}, fmt.Errorf("certificate from the server: %w", err)
	}
	cas, err := parseAll(g.Bundle)
	if err != nil {
		return checked{}, fmt.Errorf("trust bundle from the server: %w", err)
	}
	leaf := chain[0]
	if pub, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || !pub.Equal(key) {
		return checked{}, errors.New("certificate from the server: is for another key than this machine's")
	}
	want := fleetid.Name{Kind: fleetid.KindAgent, ID: terminalID}
	if name, err := fleetid.FromCertificate(leaf); err != nil || name != want {
		return checked{}, fmt.Errorf("certificate from the server: names %q, want %q", name, want)
	}
	return checked{chain: chain, cas: cas}, verify(chain, cas)
}

// verify checks the chain as a server will. It looks at the middle of the certificate's life instead of now: whether this
// machine's clock is right is not the question here.
func verify(chain, cas []*x509.Certificate) error {
	leaf := chain[0]
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots:         fleetid.Pool(cas...),
		Intermediates: fleetid.Pool(chain[1:]...),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		CurrentTime:   leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2),
	})
	if err != nil {
		return fmt.Errorf("certificate from the server: %w", err)
	}
	return nil
}

// pinned tells whether the CA with this fingerprint is in the bundle.
func (c checked) pinned(ca [sha256.Size]byte) error {
	for _, cert := range c.cas {
		if fleetid.Fingerprint(cert) == ca {
			return verify(c.chain, []*x509.Certificate{cert})
		}
	}
	return errors.New("trust bundle from the server: the CA that the token names is not in it")
}

func (c checked) files() (chain, bundle []byte) { return marshal(c.chain), marshal(c.cas) }

func marshal(certs []*x509.Certificate) []byte {
	var ders [][]byte
	for _, c := range certs {
		ders = append(ders, c.Raw)
	}
	return fleetid.MarshalCertificates(ders...)
}

func parseAll(ders [][]byte) ([]*x509.Certificate, error) {
	if len(ders) == 0 {
		return nil, errors.New("is missing")
	}
	var out []*x509.Certificate
	for _, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// life returns the certificate's validity.
func (c checked) life() (notBefore, notAfter time.Time) {
	return c.chain[0].NotBefore, c.chain[0].NotAfter
}
