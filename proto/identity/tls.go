package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

// GenerateKey makes a P-256 key.
func GenerateKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// NewCSR makes a PKCS #10 request (DER) that proves possession of key. It carries no name: names are the server's business.
func NewCSR(key *ecdsa.PrivateKey) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
}

// MarshalKey encodes a private key as PKCS #8 PEM.
func MarshalKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseKey reads a P-256 private key from PKCS #8 PEM.
func ParseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("no PRIVATE KEY block in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, fmt.Errorf("private key is %T, want ECDSA P-256", key)
	}
	return ec, nil
}

// MarshalCertificates encodes certificates (DER) as PEM, in order.
func MarshalCertificates(ders ...[]byte) []byte {
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

// ParseCertificates reads at least one certificate from PEM; anything that is not a certificate is an error.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("a PEM block among the certificates is none")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errors.New("no CERTIFICATE block in PEM")
	}
	return out, nil
}

// Fingerprint returns the SHA-256 of a certificate's DER.
func Fingerprint(c *x509.Certificate) [sha256.Size]byte { return sha256.Sum256(c.Raw) }

// KeyFingerprint returns the SHA-256 of a certificate's or request's subject public key info (DER).
func KeyFingerprint(spki []byte) [sha256.Size]byte { return sha256.Sum256(spki) }

// Pool makes a pool of CA certificates.
func Pool(cas ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range cas {
		p.AddCert(c)
	}
	return p
}

// base is what every connection of a fleet has in common. X25519 alone is asked for: the certificates are classical, and
// the hybrid exchange costs a reconnecting fleet a seventh of its handshake rate.
func base() *tls.Config {
	return &tls.Config{
		MinVersion:       tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519},
		NextProtos:       []string{"h2"},
	}
}

// ServerTLS is the server's configuration. certificate returns the server's current certificate with its chain up to and
// including the CA (an enrolling agent pins the CA and must see it); cas are the CAs whose clients may connect. A client
// without a certificate gets through the handshake, because enrolment has none yet: every other call must be refused by the
// server's access table.
func ServerTLS(certificate func() (*tls.Certificate, error), cas *x509.CertPool) *tls.Config {
	c := base()
	c.ClientAuth = tls.VerifyClientCertIfGiven
	c.ClientCAs = cas
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate() }
	return c
}

// ClientTLS is the configuration of an agent or an operator: it trusts only the fleet's CAs, asks for the server's fixed DNS
// name and refuses a peer whose certificate does not name a server. certificate returns the client's current certificate,
// so a renewal takes effect on the next connection.
func ClientTLS(certificate func() (*tls.Certificate, error), cas *x509.CertPool) *tls.Config {
	c := base()
	c.RootCAs = cas
	c.ServerName = ServerDNSName
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate() }
	c.VerifyConnection = func(s tls.ConnectionState) error { return isServer(s.PeerCertificates) }
	c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	return c
}

// EnrolTLS is the configuration of an agent that has only a token: it trusts the one CA whose fingerprint the token holds.
func EnrolTLS(ca [sha256.Size]byte) *tls.Config {
	c := base()
	c.ServerName = ServerDNSName
	// The chain is verified below, against the pinned CA instead of a pool.
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(s tls.ConnectionState) error { return verifyPinned(s.PeerCertificates, ca) }
	return c
}

func verifyPinned(chain []*x509.Certificate, ca [sha256.Size]byte) error {
	if err := isServer(chain); err != nil {
		return err
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	found := false
	for _, c := range chain[1:] {
		if c.IsCA && Fingerprint(c) == ca {
			roots.AddCert(c)
			found = true
			continue
		}
		between.AddCert(c)
	}
	if !found {
		return fmt.Errorf("this server's CA is not the token's: the token wants CA %s; use a token of this server, or the address of the token's server",
			hex.EncodeToString(ca[:8]))
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: ServerDNSName, Roots: roots, Intermediates: between})
	return err
}

func isServer(chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return errors.New("the server sent no certificate")
	}
	n, err := FromCertificate(chain[0])
	if err != nil {
		return err
	}
	if n.Kind != KindServer {
		return fmt.Errorf("the peer is %q, not a server", n)
	}
	return nil
}
