package inventory_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
)

// certificate makes a certificate; with a nil issuer it is signed by itself.
func certificate(t *testing.T, name string, isCA bool, issuer *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := identity.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		IsCA: isCA, BasicConstraintsValid: true,
	}
	if issuer == nil {
		issuer, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

func TestARootsCertificateIsKeptWithItsHash(t *testing.T) {
	f := newFixture(t)
	root, rootKey := certificate(t, "plant root", true, nil, nil)
	own, _ := certificate(t, "old appliance", false, nil, nil)
	leaf, _ := certificate(t, "nes-lyon-1", false, root, rootKey)
	s := f.mustSet(&fleetv1.SiteSettings{ApprovedRoots: []*fleetv1.ApprovedRoot{
		{Name: "plant", Certificate: root.Raw}, {Name: "appliance", Certificate: own.Raw},
	}}, "approved_roots")
	kept := s.GetSettings().GetApprovedRoots()[0]
	if len(kept.GetSha256()) != 64 || !bytes.Equal(kept.GetCertificate(), root.Raw) {
		t.Errorf("kept %v, want the certificate with its hash", kept)
	}
	if text := f.last("lyon").GetChanges()[0].GetNew(); !strings.Contains(text, kept.GetSha256()+" with its certificate") {
		t.Errorf("audited %q, want that the certificate is kept", text)
	}
	for want, r := range map[string]*fleetv1.ApprovedRoot{
		"neither an authority's":  {Name: "leaf", Certificate: leaf.Raw},
		"no certificate in DER":   {Name: "junk", Certificate: []byte("-----BEGIN CERTIFICATE-----"), Sha256: kept.GetSha256()},
		"sha256 says another":     {Name: "other", Certificate: root.Raw, Sha256: strings.Repeat("ab", 32)},
		"at most 8192 are":        {Name: "long", Certificate: make([]byte, 9000), Sha256: strings.Repeat("ab", 32)},
		"64 lower case hexadecim": {Name: "nothing"},
	} {
		_, err := f.set(&fleetv1.SiteSettings{ApprovedRoots: []*fleetv1.ApprovedRoot{r}}, "approved_roots")
		no := refusalOf(t, err, "BAD_SETTING")
		if len(no.Violations) == 0 || !strings.Contains(no.Violations[0].Text, want) {
			t.Errorf("root %q: violations %v, want %q", r.GetName(), no.Violations, want)
		}
	}
}
