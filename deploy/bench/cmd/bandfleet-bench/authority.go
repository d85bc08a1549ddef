package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/bandfleet/bandfleet/proto/identity"
)

// plainTLS is the configuration of the servers that are not fleetd: fleetd's, with another CA.
func plainTLS(dir string) (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
	if err != nil {
		return nil, err
	}
	ca, err := x509.ParseCertificate(certificate.Certificate[1])
	if err != nil {
		return nil, err
	}
	return identity.ServerTLS(func() (*tls.Certificate, error) { return &certificate, nil }, identity.Pool(ca)), nil
}

// plainCA signs the certificates of the plain variant.
type plainCA struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// writePlainPKI makes the same kinds of certificates as fleetd does.
func writePlainPKI(dir string, n int) error {
	ca, err := newPlainCA()
	if err != nil {
		return err
	}
	key, keyText, err := newKey()
	if err != nil {
		return err
	}
	leaf, err := ca.sign(&key.PublicKey, identity.Name{Kind: identity.KindServer, ID: "fleetd"}, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "server.key"), keyText, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "server.crt"), identity.MarshalCertificates(leaf, ca.cert.Raw), 0o600); err != nil {
		return err
	}
	set := credentialSet{CA: ca.cert.Raw}
	for i := range n {
		a, err := ca.agent(i)
		if err != nil {
			return err
		}
		set.Agents = append(set.Agents, a)
	}
	return set.write(dir)
}

func newPlainCA() (*plainCA, error) {
	key, _, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &plainCA{key: key, cert: cert}, err
}

func (ca *plainCA) agent(i int) (agentCredential, error) {
	key, text, err := newKey()
	if err != nil {
		return agentCredential{}, err
	}
	leaf, err := ca.sign(&key.PublicKey, identity.Name{Kind: identity.KindAgent, ID: fmt.Sprintf("T-%04d", i)}, x509.ExtKeyUsageClientAuth)
	return agentCredential{Key: text, Chain: [][]byte{leaf}}, err
}

func (ca *plainCA) sign(key *ecdsa.PublicKey, name identity.Name, usage x509.ExtKeyUsage) ([]byte, error) {
	uri, err := name.URI()
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, NotAfter: time.Now().Add(time.Hour), URIs: []*url.URL{uri}, DNSNames: []string{identity.ServerDNSName},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}, ca.cert, key, ca.key)
}
