//go:build realhost

package host_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/certfacts"
	"software.sslmate.com/src/go-pkcs12"
)

// newPair makes a self-signed certificate and its key: of RSA, because Wine imports no others.
func newPair(t *testing.T, name string) (*x509.Certificate, *rsa.PrivateKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, DNSNames: []string{"nes.example"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// stored returns a certificate of a store; nil when it is not there.
func stored(t *testing.T, certificates host.Certificates, store, sha256 string) *actionv1.Certificate {
	t.Helper()
	list, err := certificates.List(t.Context(), store)
	if err != nil {
		t.Fatalf("List(%q) = %v, want success", store, err)
	}
	if !slices.IsSortedFunc(list, func(a, b *actionv1.Certificate) int { return compare(a.GetSha256(), b.GetSha256()) }) {
		t.Errorf("List(%q) is not sorted by SHA-256", store)
	}
	i := slices.IndexFunc(list, func(c *actionv1.Certificate) bool { return c.GetSha256() == sha256 })
	if i < 0 {
		return nil
	}
	return list[i]
}

func compare(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

func TestRootIsAddedOnceAndRemoved(t *testing.T) {
	certificates := host.CertificatesOfBuild(19045)
	cert, _ := newPair(t, "Bandfleet Test Root")
	sha256 := certfacts.SHA256(cert.Raw)
	t.Cleanup(func() { _ = certificates.Remove(context.Background(), "Root", sha256) }) // only when the test failed on the way
	for range 2 {
		if err := certificates.Add(t.Context(), "Root", cert.Raw); err != nil {
			t.Fatalf("Add = %v, want success, the second time too", err)
		}
	}
	got := stored(t, certificates, "Root", sha256)
	if got == nil || got.GetStore() != "Root" || got.GetHasPrivateKey() || !got.GetSelfSigned() || got.GetSubject() != "CN=Bandfleet Test Root" {
		t.Fatalf("the store has %v, want the root, without a key", got)
	}
	if err := certificates.Remove(t.Context(), "Root", sha256); err != nil {
		t.Fatalf("Remove = %v, want success", err)
	}
	if stored(t, certificates, "Root", sha256) != nil {
		t.Error("the root is still there after Remove")
	}
	if err := certificates.Remove(t.Context(), "Root", sha256); !errors.Is(err, host.ErrNotExist) {
		t.Errorf("second Remove = %v, want ErrNotExist", err)
	}
}

// TestPFXIsImported: of any cipher, on a Windows that knows AES and, by way of another one, on one that does not.
func TestPFXIsImported(t *testing.T) {
	for name, c := range map[string]struct {
		made  *pkcs12.Encoder
		build uint32
	}{
		"AES on a new Windows":    {pkcs12.Modern2023, 20348},
		"AES on Server 2016":      {pkcs12.Modern2023, 14393},
		"legacy on a new Windows": {pkcs12.LegacyDES, 20348},
	} {
		t.Run(name, func(t *testing.T) { testImport(t, host.CertificatesOfBuild(c.build), c.made) })
	}
}

func testImport(t *testing.T, certificates host.Certificates, made *pkcs12.Encoder) {
	cert, key := newPair(t, "Bandfleet Test Server")
	sha256 := certfacts.SHA256(cert.Raw)
	pfx, err := made.Encode(key, cert, nil, "pass word")
	if err != nil {
		t.Fatal(err)
	}
	if err := certificates.Import(t.Context(), "My", pfx, "another"); err == nil || stored(t, certificates, "My", sha256) != nil {
		t.Fatalf("Import with another password = %v, want an error and nothing imported", err)
	}
	t.Cleanup(func() { _ = certificates.Remove(context.Background(), "My", sha256) }) // only when the test failed on the way
	for range 2 {
		if err := certificates.Import(t.Context(), "My", pfx, "pass word"); err != nil {
			t.Fatalf("Import = %v, want success, the second time too", err)
		}
	}
	got := stored(t, certificates, "My", sha256)
	if got == nil || !got.GetHasPrivateKey() {
		t.Errorf("the store has %v, want the certificate with its private key", got)
	}
	if err := certificates.Remove(t.Context(), "My", sha256); err != nil || stored(t, certificates, "My", sha256) != nil {
		t.Errorf("Remove = %v, want it gone", err)
	}
}

func TestStoresThatAreNone(t *testing.T) {
	certificates := host.CertificatesOfBuild(19045)
	cert, _ := newPair(t, "Bandfleet Test")
	if err := certificates.Add(t.Context(), "Disallowed", cert.Raw); err == nil {
		t.Error("Add to a store that is not of the contract succeeded, want a refusal")
	}
	if err := certificates.Add(t.Context(), "Root", []byte("no certificate")); err == nil {
		t.Error("Add of what is no certificate succeeded, want a refusal")
	}
	if _, err := certificates.List(t.Context(), "Root; rm"); err == nil {
		t.Error("List of a store that is not of the contract succeeded, want a refusal")
	}
}
