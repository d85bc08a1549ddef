package identity

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/private"
	fleetid "github.com/bandfleet/bandfleet/proto/identity"
)

// Identity is an enrolled machine's identity. It is safe for concurrent use.
type Identity struct {
	dir    Dir
	record Record
	keys   Keys

	mu      sync.Mutex
	current checked
	tls     *tls.Config
}

// Complete checks the answer to an enrolment, whose CA the token pins, and writes it. The record is written last.
func (d Dir) Complete(r Record, keys Keys, g Grant, ca [sha256.Size]byte) error {
	c, err := g.check(&keys.TLS.PublicKey, r.TerminalID)
	if err != nil {
		return err
	}
	if err := c.pinned(ca); err != nil {
		return err
	}
	if err := d.writeCertificates(c); err != nil {
		return err
	}
	return d.writeRecord(r)
}

// Load reads an enrolled data directory and checks that its parts belong together.
func Load(d Dir) (*Identity, error) {
	record, err := d.ReadRecord()
	if err != nil {
		return nil, err
	}
	keys, err := d.ReadKeys()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, d.damaged(keyFile, err)
	}
	if err != nil {
		return nil, err
	}
	c, err := d.readCertificates()
	if err != nil {
		return nil, err
	}
	if !keys.TLS.PublicKey.Equal(c.chain[0].PublicKey) {
		return nil, d.damaged(certificateFile, fmt.Errorf("the certificate is not for the key in %q", keyFile))
	}
	i := &Identity{dir: d, record: record, keys: keys}
	i.use(c)
	return i, nil
}

// Record returns what the enrolment settled.
func (i *Identity) Record() Record { return i.record }

// TLS returns the configuration for connecting to the server. The same one is returned until the certificate changes, so
// that a reconnect can resume its TLS session; a new certificate must not be hidden behind a session of the old one.
func (i *Identity) TLS() *tls.Config {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.tls
}

// Life returns the validity of the current certificate.
func (i *Identity) Life() (notBefore, notAfter time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.current.life()
}

// Request makes a certificate request (PKCS #10, DER) for the machine's key.
func (i *Identity) Request() ([]byte, error) { return fleetid.NewCSR(i.keys.TLS) }

// Renew checks a new certificate, writes it and uses it from the next connection on.
func (i *Identity) Renew(g Grant) error {
	c, err := g.check(&i.keys.TLS.PublicKey, i.record.TerminalID)
	if err != nil {
		return err
	}
	if err := i.dir.writeCertificates(c); err != nil {
		return err
	}
	i.use(c)
	return nil
}

func (i *Identity) use(c checked) {
	certificate := &tls.Certificate{PrivateKey: i.keys.TLS, Leaf: c.chain[0]}
	for _, link := range c.chain {
		certificate.Certificate = append(certificate.Certificate, link.Raw)
	}
	get := func() (*tls.Certificate, error) { return certificate, nil }
	i.mu.Lock()
	defer i.mu.Unlock()
	i.current = c
	i.tls = fleetid.ClientTLS(get, fleetid.Pool(c.cas...))
}

// writeCertificates writes the CAs first: the new ones hold the old ones while a CA is being replaced, so a crash between
// the two files leaves a certificate that still works.
func (d Dir) writeCertificates(c checked) error {
	chain, bundle := c.files()
	if err := private.WriteFile(d.file(authoritiesFile), bundle); err != nil {
		return err
	}
	return private.WriteFile(d.file(certificateFile), chain)
}

func (d Dir) readCertificates() (checked, error) {
	chain, err := d.readCertificateFile(certificateFile)
	if err != nil {
		return checked{}, err
	}
	cas, err := d.readCertificateFile(authoritiesFile)
	return checked{chain: chain, cas: cas}, err
}

func (d Dir) readCertificateFile(name string) ([]*x509.Certificate, error) {
	text, err := private.ReadFile(d.file(name))
	if err != nil {
		return nil, d.damaged(name, err)
	}
	certs, err := fleetid.ParseCertificates(text)
	if err != nil {
		return nil, d.damaged(name, err)
	}
	return certs, nil
}
