package host

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// pair makes a self-signed certificate and its key.
func pair(t *testing.T) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nes"}, NotAfter: time.Now().Add(time.Hour)}
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

// The object identifiers of the ways to encrypt, as they stand in a PFX (PKCS #5, PKCS #12).
var (
	aes256    = []byte{0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a}
	tripleDES = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01, 0x03}
)

// TestPFXForEachWindows: Server 2016 (build 14393) gets one without AES, whatever it was made with.
func TestPFXForEachWindows(t *testing.T) {
	cert, key := pair(t)
	for name, made := range map[string]*pkcs12.Encoder{"modern": pkcs12.Modern2023, "legacy": pkcs12.LegacyRC2} {
		pfx, err := made.Encode(key, cert, nil, "pass")
		if err != nil {
			t.Fatal(err)
		}
		content, err := openPFX(pfx, "pass")
		if err != nil {
			t.Fatalf("%s: openPFX = %v, want success", name, err)
		}
		for build, want := range map[uint32][]byte{14393: tripleDES, 17762: tripleDES, 17763: aes256, 26100: aes256} {
			encoded, err := content.encodeFor(build, "pass")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(encoded, want) || bytes.Contains(encoded, aes256) != bytes.Equal(want, aes256) {
				t.Errorf("%s, build %d: the PFX lacks its cipher %x", name, build, want)
			}
			if again, err := openPFX(encoded, "pass"); err != nil || !again.leaf.Equal(cert) {
				t.Errorf("%s, build %d: the PFX opens as %v, want the same pair", name, build, err)
			}
		}
	}
}

// TestPFXInAnyOrder: what a plan took for the certificate of a PFX is what is imported, wherever in the file it stands.
func TestPFXInAnyOrder(t *testing.T) {
	leaf, key := pair(t)
	other, _ := pair(t)
	file, err := pkcs12.Modern2023.Encode(key, other, []*x509.Certificate{leaf}, "pass")
	if err != nil {
		t.Fatal(err)
	}
	if content, err := openPFX(file, "pass"); err != nil || !content.leaf.Equal(leaf) {
		t.Errorf("a PFX whose key belongs to its second certificate: %v, want that certificate", err)
	}
}

func TestPFXThatCannotBeUsed(t *testing.T) {
	cert, _ := pair(t)
	_, other := pair(t)
	foreign, err := pkcs12.Modern2023.Encode(other, cert, nil, "hunter2")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		pfx            []byte
		password, want string
	}{
		"another password": {foreign, "hunter3", "password does not open it"},
		"another's key":    {foreign, "hunter2", "belongs to none of its certificates"},
		"no pfx":           {[]byte("hunter2"), "hunter2", "cannot be read as a PFX"},
	} {
		_, err := openPFX(c.pfx, c.password)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v, want an error with %q and nothing secret", name, err, c.want)
		}
	}
}
