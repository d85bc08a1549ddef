package certfacts_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/proto/certfacts"
)

// made signs template by parent, or by its own key when parent is nil.
func made(t *testing.T, template *x509.Certificate, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func TestFactsOfAServerCertificate(t *testing.T) {
	root, rootKey := made(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Root"}, IsCA: true, BasicConstraintsValid: true,
		NotAfter: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC), KeyUsage: x509.KeyUsageCertSign,
	}, nil, nil)
	leaf, _ := made(t, &x509.Certificate{
		SerialNumber: big.NewInt(0xABC), Subject: pkix.Name{CommonName: "nes", Organization: []string{"Plant"}},
		DNSNames: []string{"nes.lyon.example"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, root, rootKey)
	facts := certfacts.Chain([]*x509.Certificate{leaf, root})
	got := facts[0]
	if got.GetSubject() != "CN=nes,O=Plant" || got.GetIssuer() != "CN=Root" || got.GetSerial() != "0abc" ||
		!slices.Equal(got.GetDnsNames(), leaf.DNSNames) || !slices.Equal(got.GetIpAddresses(), []string{"10.0.0.1"}) ||
		!got.GetNotAfter().AsTime().Equal(leaf.NotAfter) || !got.GetNotBefore().AsTime().Equal(leaf.NotBefore) {
		t.Errorf("facts are %v, want what the certificate says", got)
	}
	if got.GetIsCa() || got.GetSelfSigned() || !got.GetServerAuth() || got.GetHasPrivateKey() || got.GetStore() != "" {
		t.Errorf("facts are %v, want a server's certificate that is signed by another, in no store, without a key", got)
	}
	if !facts[1].GetIsCa() || !facts[1].GetSelfSigned() {
		t.Errorf("facts of the root are %v, want a self-signed authority", facts[1])
	}
	if len(got.GetSha256()) != 64 || len(got.GetSha1()) != 40 || strings.ToLower(got.GetSha256()) != got.GetSha256() {
		t.Errorf("names are %q and %q, want lower case hexadecimal", got.GetSha256(), got.GetSha1())
	}
}

func TestServerAuth(t *testing.T) {
	for name, c := range map[string]struct {
		usages  []x509.ExtKeyUsage
		unknown []asn1.ObjectIdentifier
		want    bool
	}{
		"no list":         {want: true},
		"server":          {usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, want: true},
		"any":             {usages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, want: true},
		"client alone":    {usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
		"an unknown only": {unknown: []asn1.ObjectIdentifier{{1, 3, 6, 1, 4, 1, 311, 20, 2, 2}}},
	} {
		if got := certfacts.ServerAuth(&x509.Certificate{ExtKeyUsage: c.usages, UnknownExtKeyUsage: c.unknown}); got != c.want {
			t.Errorf("%s: server use is %v, want %v", name, got, c.want)
		}
	}
}

// TestSelfSignedIsNotTheSameName: an authority that was issued anew under its own name by another key is not self-signed.
func TestSelfSignedIsNotTheSameName(t *testing.T) {
	name := pkix.Name{CommonName: "Root"}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: name, IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	old, oldKey := made(t, template, nil, nil)
	crossed, _ := made(t, template, old, oldKey)
	if certfacts.SelfSigned(crossed) {
		t.Error("a certificate that another key signed counts as self-signed, want not: it is no root")
	}
}

func TestNoCertificate(t *testing.T) {
	der := []byte("no certificate")
	if _, err := certfacts.FromDER(der); err == nil || !strings.Contains(err.Error(), certfacts.SHA256(der)) {
		t.Errorf("FromDER = %v, want an error that names it", err)
	}
}
