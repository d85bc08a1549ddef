package sealed

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/proto/identity"
)

// fleet is a CA that gives certificates for an hour.
type fleet struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newFleet(t *testing.T) fleet {
	f := fleet{t: t, key: tlsKey(t)}
	f.cert = f.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, f.key)
	return f
}

func tlsKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := identity.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (f fleet) sign(template *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	f.t.Helper()
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	parent := f.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), f.key)
	if err != nil {
		f.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		f.t.Fatal(err)
	}
	return cert
}

// chain is the certificate of a peer.
func (f fleet) chain(kind identity.Kind, id string, key *ecdsa.PrivateKey) [][]byte {
	f.t.Helper()
	uri, err := identity.Name{Kind: kind, ID: id}.URI()
	if err != nil {
		f.t.Fatal(err)
	}
	return [][]byte{f.sign(&x509.Certificate{
		URIs: []*url.URL{uri}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key).Raw}
}

func TestProof(t *testing.T) {
	mine, other := newFleet(t), newFleet(t)
	key, otherKey := tlsKey(t), tlsKey(t)
	sealing := newKey(t).PublicKey().Bytes()
	signature, err := Prove(key, "T-1", sealing)
	if err != nil {
		t.Fatal(err)
	}
	good := Proof{SealingKey: sealing, Signature: signature, Chain: mine.chain(identity.KindAgent, "T-1", key)}
	if err := good.Check("T-1", identity.Pool(mine.cert), time.Now()); err != nil {
		t.Fatalf("a good proof is refused: %v", err)
	}
	for name, change := range map[string]func(*Proof){
		"another sealing key":          func(p *Proof) { p.SealingKey = newKey(t).PublicKey().Bytes() },
		"no sealing key":               func(p *Proof) { p.SealingKey = nil },
		"no signature":                 func(p *Proof) { p.Signature = nil },
		"signature changed":            func(p *Proof) { p.Signature = bytes.Clone(p.Signature); p.Signature[len(p.Signature)-1] ^= 1 },
		"another TLS key":              func(p *Proof) { p.Chain = mine.chain(identity.KindAgent, "T-1", otherKey) },
		"another terminal":             func(p *Proof) { p.Chain = mine.chain(identity.KindAgent, "T-2", key) },
		"an operator":                  func(p *Proof) { p.Chain = mine.chain(identity.KindOperator, "T-1", key) },
		"a certificate of another CA":  func(p *Proof) { p.Chain = other.chain(identity.KindAgent, "T-1", key) },
		"no certificate":               func(p *Proof) { p.Chain = nil },
		"something that is none":       func(p *Proof) { p.Chain = [][]byte{[]byte("x")} },
		"a chain with a broken link":   func(p *Proof) { p.Chain = append(p.Chain[:1:1], []byte("x")) },
		"the CA's own, which names no": func(p *Proof) { p.Chain = [][]byte{mine.cert.Raw} },
	} {
		bad := good
		change(&bad)
		err := bad.Check("T-1", identity.Pool(mine.cert), time.Now())
		if err == nil || !strings.Contains(err.Error(), `terminal "T-1"`) {
			t.Errorf("%s: %v, want a refusal that names the terminal", name, err)
		}
	}
	if err := good.Check("T-1", identity.Pool(mine.cert), time.Now().Add(2*time.Hour)); err == nil {
		t.Error("a proof whose certificate has expired must be refused")
	}
}

// A signature over anything else with the same key must be no proof.
func TestProofIsOfOnePurpose(t *testing.T) {
	key, sealing := tlsKey(t), newKey(t).PublicKey().Bytes()
	bare, err := ecdsa.SignASN1(rand.Reader, key, sealing)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckSignature(key.Public(), "T-1", sealing, bare); err == nil {
		t.Error("a bare signature over the sealing key was taken for a proof")
	}
	if err := CheckSignature("no key", "T-1", sealing, bare); err == nil {
		t.Error("a TLS key of an unknown kind must be refused")
	}
}
