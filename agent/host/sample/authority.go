package sample

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Authority is a certificate authority, valid for ten years from when it was made.
type Authority struct {
	Certificate *x509.Certificate
	// Key signs what it issues.
	Key *ecdsa.PrivateKey
	// issuer is nil for a root.
	issuer *Authority
}

// year is a calendar year, about.
const year = 365 * 24 * time.Hour

// NewAuthority makes a root.
func NewAuthority(name string) (*Authority, error) {
	return newAuthority(name, nil, time.Now().Add(10*year))
}

// Intermediate makes an authority below this one.
func (a *Authority) Intermediate(name string) (*Authority, error) {
	return newAuthority(name, a, time.Now().Add(10*year))
}

// IntermediateUntil is Intermediate with an end of its own, which may be in the past.
func (a *Authority) IntermediateUntil(name string, notAfter time.Time) (*Authority, error) {
	return newAuthority(name, a, notAfter)
}

func newAuthority(name string, issuer *Authority, notAfter time.Time) (*Authority, error) {
	from := time.Now().Add(-time.Hour)
	if !from.Before(notAfter) {
		from = notAfter.Add(-24 * time.Hour)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: notAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	certificate, key, err := sign(template, issuer)
	if err != nil {
		return nil, err
	}
	return &Authority{Certificate: certificate, Key: key, issuer: issuer}, nil
}

// Wanted says what a certificate is to be like. The zero value of each field is the usual.
type Wanted struct {
	// Names are DNS names and IP addresses; the first one is the subject's name too.
	Names []string
	// NotBefore is an hour ago, NotAfter a year from now, unless they are set.
	NotBefore, NotAfter time.Time
	// ClientOnly: not for TLS servers.
	ClientOnly bool
}

// Issue makes a certificate with its key.
func (a *Authority) Issue(w Wanted) (*Identity, error) {
	return issue(w, a)
}

// SelfSigned makes a certificate that nobody but itself vouches for.
func SelfSigned(w Wanted) (*Identity, error) {
	return issue(w, nil)
}

func issue(w Wanted, issuer *Authority) (*Identity, error) {
	if len(w.Names) == 0 {
		return nil, fmt.Errorf("certificate: needs a name")
	}
	now := time.Now()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: w.Names[0]}, NotBefore: w.NotBefore, NotAfter: w.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	if w.NotBefore.IsZero() {
		template.NotBefore = now.Add(-time.Hour)
	}
	if w.NotAfter.IsZero() {
		template.NotAfter = now.Add(year)
	}
	if w.ClientOnly {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	for _, name := range w.Names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	certificate, key, err := sign(template, issuer)
	if err != nil {
		return nil, err
	}
	return &Identity{Certificate: certificate, Key: key, issuer: issuer}, nil
}

// sign completes a template with a new key. Without an issuer it signs itself.
func sign(template *x509.Certificate, issuer *Authority) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100)); err != nil {
		return nil, nil, err
	}
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.Certificate, issuer.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return certificate, key, err
}

// SHA256 names a certificate as the agent does: lower case hexadecimal, of the DER.
func SHA256(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
