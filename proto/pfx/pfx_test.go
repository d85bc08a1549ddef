package pfx_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/bandfleet/bandfleet/proto/certfacts"
	"github.com/bandfleet/bandfleet/proto/pfx"
)

const password = "correct horse"

// issued is a chain of three, leaf first, and the leaf's key.
type issued struct {
	chain []*x509.Certificate
	key   crypto.Signer
}

func issue(t *testing.T, leafKey crypto.Signer) issued {
	t.Helper()
	rootKey, betweenKey := ecKey(t), ecKey(t)
	root := sign(t, "root", rootKey, nil, nil)
	between := sign(t, "between", betweenKey, root, rootKey)
	return issued{chain: []*x509.Certificate{sign(t, "nes-lyon-1", leafKey, between, betweenKey), between, root}, key: leafKey}
}

func ecKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, name string, key crypto.Signer, parent *x509.Certificate, parentKey crypto.Signer) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if parent == nil {
		parent, parentKey = c, key
	}
	c.IsCA = name != "nes-lyon-1"
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func (i issued) encode(t *testing.T, e *pkcs12.Encoder, order ...int) []byte {
	t.Helper()
	var certs []*x509.Certificate
	for _, at := range order {
		certs = append(certs, i.chain[at])
	}
	file, err := e.Encode(i.key, certs[0], certs[1:], password)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestFactsOfEachProtection(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{ecKey(t), rsaKey} {
		i := issue(t, key)
		for name, e := range map[string]*pkcs12.Encoder{"AES": pkcs12.Modern, "3DES": pkcs12.LegacyDES, "RC2": pkcs12.LegacyRC2, "PBMAC1": pkcs12.Modern2026} {
			facts := pfx.Facts(i.encode(t, e, 0, 1, 2), password)
			if facts.GetProblem() != "" || !facts.GetHasPrivateKey() || len(facts.GetChain()) != 3 {
				t.Fatalf("%s with a key %T: %v, want a chain of three with a key", name, key, facts)
			}
			if got, want := facts.GetChain()[0].GetSha256(), certfacts.SHA256(i.chain[0].Raw); got != want || !facts.GetChain()[0].GetHasPrivateKey() {
				t.Errorf("%s with a key %T: the leaf is %s, want %s with its key", name, key, got, want)
			}
		}
	}
}

// Windows exports the chain in an order of its own.
func TestChainIsLeafFirst(t *testing.T) {
	i := issue(t, ecKey(t))
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}} {
		_, chain, err := pfx.Open(i.encode(t, pkcs12.Modern, order...), password)
		if err != nil {
			t.Fatal(err)
		}
		for at, want := range []string{"nes-lyon-1", "between", "root"} {
			if got := chain[at].Subject.CommonName; got != want {
				t.Errorf("file in the order %v: certificate %d is %q, want %q", order, at, got, want)
			}
		}
	}
}

func TestProblems(t *testing.T) {
	mine, other := issue(t, ecKey(t)), issue(t, ecKey(t))
	good := mine.encode(t, pkcs12.Modern, 0, 1, 2)
	trust, err := pkcs12.Modern.EncodeTrustStore(mine.chain, password)
	if err != nil {
		t.Fatal(err)
	}
	foreign := issued{chain: mine.chain, key: other.key}
	for name, c := range map[string]struct {
		file     []byte
		password string
		want     error
	}{
		"wrong password":       {good, "wrong", pfx.ErrPassword},
		"no password":          {good, "", pfx.ErrPassword},
		"password of no BMP":   {good, "\U0001F600", pfx.ErrMalformed},
		"no key":               {trust, password, pfx.ErrNoKey},
		"the key of another":   {foreign.encode(t, pkcs12.Modern, 0, 1), password, pfx.ErrMismatch},
		"a text":               {[]byte("-----BEGIN CERTIFICATE-----"), password, pfx.ErrMalformed},
		"nothing":              {nil, password, pfx.ErrMalformed},
		"cut":                  {good[:len(good)/2], password, pfx.ErrMalformed},
		"a byte of it changed": {changed(good), password, pfx.ErrPassword},
	} {
		_, _, err := pfx.Open(c.file, c.password)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		facts := pfx.Facts(c.file, c.password)
		if facts.GetProblem() != c.want.Error() || len(facts.GetChain()) > 0 || facts.GetHasPrivateKey() {
			t.Errorf("%s: facts %v, want the problem and nothing else", name, facts)
		}
		if strings.Contains(facts.String(), password) || strings.Contains(facts.String(), hex.EncodeToString(good[:16])) {
			t.Errorf("%s: facts %v repeat the secret", name, facts)
		}
	}
}

// changed damages what the password protects.
func changed(file []byte) []byte {
	out := append([]byte(nil), file...)
	out[len(out)/2] ^= 1
	return out
}
