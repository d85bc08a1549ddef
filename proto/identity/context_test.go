package identity_test

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/proto/identity"
)

func newContext(t *testing.T) identity.Context {
	t.Helper()
	key, err := identity.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pemKey, err := identity.MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := string(identity.MarshalCertificates(der))
	return identity.Context{Server: "127.0.0.1:7443", CA: certificate, Certificate: certificate, Key: string(pemKey)}
}

func TestContextRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ada.yaml")
	want := newContext(t)
	if err := identity.WriteContext(path, want); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v: want 0600, since the file holds a private key", info.Mode(), err)
	}
	if got, err := identity.ReadContext(path); err != nil || got != want {
		t.Fatalf("read back %+v, %v", got, err)
	}
	if err := identity.WriteContext(path, want); !errors.Is(err, os.ErrExist) {
		t.Fatalf("error %v, want a refusal to replace a file that holds a key", err)
	}
}

func TestContextRefusals(t *testing.T) {
	good, other := newContext(t), newContext(t)
	write := func(c identity.Context) string {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := identity.WriteContext(path, c); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, change := range map[string]func(*identity.Context){
		"server is missing":   func(c *identity.Context) { c.Server = "" },
		"ca: no CERTIFICATE":  func(c *identity.Context) { c.CA = "" },
		"key does not belong": func(c *identity.Context) { c.Key = other.Key },
		"key: no PRIVATE KEY": func(c *identity.Context) { c.Key = c.Certificate },
	} {
		bad := good
		change(&bad)
		_, err := identity.ReadContext(write(bad))
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one that says %q", err, name)
		}
		if err != nil && strings.Contains(err.Error(), "MIG") {
			t.Errorf("error %q repeats the key", err)
		}
	}
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("serber: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.ReadContext(path); err == nil || !strings.Contains(err.Error(), "serber") {
		t.Errorf("error %v, want the unknown key named", err)
	}
}

// What a decoder says of a damaged file quotes it, and a context file holds a private key.
func TestDamagedContextIsNotQuoted(t *testing.T) {
	good := newContext(t)
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := identity.WriteContext(path, good); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.Split(good.Key, "\n")[1]
	for name, text := range map[string]string{
		"the key alone":         good.Key,
		"a line of it":          secret,
		"a line of it as a key": secret + ": x",
		"a short piece as key":  secret[:10] + ": x",
		"twice":                 secret + ": x\n" + secret + ": y",
		"another tag":           "key: !!int " + secret,
		"a list":                "key: [" + secret + "]",
		"a map":                 "key: {" + secret + ": 1}",
		"an alias":              "key: *" + strings.Map(letters, secret),
		"badly indented":        strings.Replace(string(whole), "    "+secret, secret, 1),
		"among certificates":    "server: x\nca: |\n  -----BEGIN " + secret + "-----\n  AAAA\n  -----END " + secret + "-----\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := identity.ReadContext(path)
		if err == nil {
			t.Errorf("%s: was read", name)
			continue
		}
		for i := range len(secret) - 6 {
			if piece := strings.Map(letters, secret[i:i+6]); len(piece) == 6 && strings.Contains(strings.Map(letters, err.Error()), piece) {
				t.Errorf("%s: error %q repeats the key", name, err)
				break
			}
		}
	}
}

// letters keeps what may stand in an alias.
func letters(r rune) rune {
	if r == '+' || r == '/' || r == '=' {
		return -1
	}
	return r
}
