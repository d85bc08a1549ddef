package pki_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/pki"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// clock is a clock that tests move.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func newAuthority(t *testing.T, dir string) (*pki.Authority, *clock) {
	t.Helper()
	c := &clock{time.Now()}
	a, err := pki.Open(pki.Config{Dir: dir, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return a, c
}

func csr(t *testing.T) []byte {
	t.Helper()
	key, err := identity.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := identity.NewCSR(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func verify(t *testing.T, a *pki.Authority, der []byte, at time.Time, use x509.ExtKeyUsage) (*x509.Certificate, error) {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Verify(x509.VerifyOptions{Roots: a.Pool(), CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{use}})
	return c, err
}

func TestReopenKeepsTheCA(t *testing.T) {
	dir := t.TempDir()
	a, _ := newAuthority(t, dir)
	again, _ := newAuthority(t, dir)
	if a.Fingerprint() != again.Fingerprint() {
		t.Fatal("a restart made another CA: every agent would be shut out")
	}
	info, err := os.Stat(filepath.Join(dir, "ca.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("ca.key: mode %v, %v, want 0600", info.Mode(), err)
	}
}

func TestServerCertificate(t *testing.T) {
	a, c := newAuthority(t, t.TempDir())
	first, err := a.ServerCertificate()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := verify(t, a, first.Certificate[0], c.Time, x509.ExtKeyUsageServerAuth)
	if err != nil || leaf.VerifyHostname(identity.ServerDNSName) != nil {
		t.Errorf("server certificate: %v", err)
	}
	if !bytes.Equal(first.Certificate[len(first.Certificate)-1], a.TrustBundle()[0]) {
		t.Error("the chain does not end with the CA, which an enrolling agent must see")
	}
	c.Time = c.Add(59 * 24 * time.Hour)
	if same, _ := a.ServerCertificate(); same != first {
		t.Error("renewed before two thirds of its life")
	}
	c.Time = c.Add(2 * 24 * time.Hour)
	renewed, err := a.ServerCertificate()
	if err != nil || renewed == first || !renewed.Leaf.NotAfter.After(first.Leaf.NotAfter) {
		t.Errorf("not renewed after two thirds of its life: %v", err)
	}
}

func TestIssue(t *testing.T) {
	a, c := newAuthority(t, t.TempDir())
	agent, err := a.IssueAgent("T-0142", csr(t))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := verify(t, a, agent.Chain[0], c.Time, x509.ExtKeyUsageClientAuth)
	if err != nil {
		t.Fatal(err)
	}
	if name, err := identity.FromCertificate(leaf); err != nil || name.String() != "agent/T-0142" {
		t.Errorf("name %v, %v", name, err)
	}
	if sum := identity.KeyFingerprint(leaf.RawSubjectPublicKeyInfo); !bytes.Equal(sum[:], agent.KeySHA256) {
		t.Error("the key's hash is not that of the certificate's key")
	}
	if life := leaf.NotAfter.Sub(c.Time).Round(time.Minute); life != pki.DefaultAgentTTL {
		t.Errorf("valid for %s, want %s", life, pki.DefaultAgentTTL)
	}
	if _, err := verify(t, a, agent.Chain[0], c.Time, x509.ExtKeyUsageServerAuth); err == nil {
		t.Error("an agent's certificate may serve: it could pose as the server")
	}
	operator, err := a.IssueOperator("ada", csr(t), time.Hour)
	if err != nil || operator.NotAfter.Sub(c.Time) > time.Hour {
		t.Errorf("operator: %v, %v", operator.NotAfter, err)
	}
	if _, err := a.IssueOperator("../ada", csr(t), 0); err == nil {
		t.Error("signed for a name with a path in it")
	}
}

// A machine may ask for whatever it wants to be: only its public key counts.
func TestNamesInRequestsAreIgnored(t *testing.T) {
	a, c := newAuthority(t, t.TempDir())
	key, _ := identity.GenerateKey()
	evil := &url.URL{Scheme: "spiffe", Host: identity.TrustDomain, Path: "/operator/admin"}
	text, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "operator/admin"}, URIs: []*url.URL{evil}, DNSNames: []string{identity.ServerDNSName},
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.IssueAgent("T-0001", text)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := verify(t, a, got.Chain[0], c.Time, x509.ExtKeyUsageClientAuth)
	if err != nil || leaf.IsCA || len(leaf.DNSNames) > 0 || len(leaf.URIs) != 1 || leaf.Subject.CommonName != "agent/T-0001" {
		t.Errorf("certificate %v %v %v, CA %v, %v", leaf.Subject, leaf.URIs, leaf.DNSNames, leaf.IsCA, err)
	}
}

func TestBadRequests(t *testing.T) {
	a, _ := newAuthority(t, t.TempDir())
	other, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p384, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, other)
	if err != nil {
		t.Fatal(err)
	}
	forged := csr(t)
	forged[len(forged)-1] ^= 1
	for name, text := range map[string][]byte{"empty": nil, "text": []byte("hello"), "other curve": p384, "forged": forged} {
		_, err := a.IssueAgent("T-0001", text)
		var r *refusal.Error
		if !errors.As(err, &r) || r.Kind != refusal.Invalid || r.Field != "csr" {
			t.Errorf("%s: error %v, want a refusal of field csr", name, err)
		}
	}
}

func TestRefusesToStart(t *testing.T) {
	for want, harm := range map[string]func(dir string) error{
		"may be read by others":  func(dir string) error { return os.Chmod(filepath.Join(dir, "ca.key"), 0o640) },
		"ca.key is missing":      func(dir string) error { return os.Remove(filepath.Join(dir, "ca.key")) },
		"do not belong together": func(dir string) error { return swapKey(t, dir) },
		"no CERTIFICATE block":   func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca.crt"), nil, 0o644) },
		"no PRIVATE KEY block":   func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca.key"), nil, 0o600) },
	} {
		dir := t.TempDir()
		newAuthority(t, dir)
		if err := harm(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := pki.Open(pki.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
	dir := t.TempDir()
	newAuthority(t, dir)
	late := func() time.Time { return time.Now().AddDate(11, 0, 0) }
	if _, err := pki.Open(pki.Config{Dir: dir, Now: late}); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("error %v, want one that says that the CA expired", err)
	}
}

func swapKey(t *testing.T, dir string) error {
	other := t.TempDir()
	newAuthority(t, other)
	return os.Rename(filepath.Join(other, "ca.key"), filepath.Join(dir, "ca.key"))
}

// A crash between the two files of a first start must not keep the server from starting.
func TestKeyWithoutCertificateStartsOver(t *testing.T) {
	dir := t.TempDir()
	newAuthority(t, dir)
	if err := os.Remove(filepath.Join(dir, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	newAuthority(t, dir)
}
