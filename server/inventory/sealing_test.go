package inventory_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"testing"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/proto/sealed"
	"github.com/bandfleet/bandfleet/server/access"
)

// certified is the context of a call by a terminal's agent that shows a certificate of a key of its own.
func (f *fixture) certified(id string) (context.Context, *ecdsa.PrivateKey) {
	f.t.Helper()
	key, err := identity.GenerateKey()
	if err != nil {
		f.t.Fatal(err)
	}
	request, err := identity.NewCSR(key)
	if err != nil {
		f.t.Fatal(err)
	}
	issued, err := f.ca.IssueAgent(id, request)
	if err != nil {
		f.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(issued.Chain[0])
	if err != nil {
		f.t.Fatal(err)
	}
	p := *access.From(f.as(id))
	p.Leaf = leaf
	return access.With(f.t.Context(), &p), key
}

// proven is a hello with a sealing key that a TLS key vouches for.
func (f *fixture) proven(tls *ecdsa.PrivateKey, id string, key []byte) *agentv1.Hello {
	f.t.Helper()
	proof, err := sealed.Prove(tls, id, key)
	if err != nil {
		f.t.Fatal(err)
	}
	return &agentv1.Hello{JournalId: "journal-1", SealingKey: key, SealingKeyProof: proof}
}

func TestASealingKeyIsStoredWithItsProof(t *testing.T) {
	f := newFixture(t)
	id := f.enrol("lyon", "press-1")
	ctx, tls := f.certified(id)
	key := bytes.Repeat([]byte{7}, sealed.KeySize)
	if _, err := f.SessionOpened(ctx, id, f.proven(tls, id, key), 0); err != nil {
		t.Fatal(err)
	}
	r, err := f.Terminal(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	proof := sealed.Proof{SealingKey: r.GetSealingKey(), Signature: r.GetSealingKeyProof(), Chain: r.GetSealingKeyChain()}
	if err := proof.Check(id, f.ca.Pool(), f.now); err != nil {
		t.Errorf("what is stored must convince whoever seals: %v", err)
	}
	before := f.records()
	// Another signature over the same key says nothing new.
	if _, err := f.SessionOpened(ctx, id, f.proven(tls, id, key), 0); err != nil {
		t.Fatal(err)
	}
	if again, _ := f.Terminal(t.Context(), id); !bytes.Equal(again.GetSealingKeyProof(), r.GetSealingKeyProof()) || f.records() != before {
		t.Error("a hello that says the same must not be written")
	}
}

func TestAWrongProofOpensNoSession(t *testing.T) {
	f := newFixture(t)
	id := f.enrol("lyon", "press-1")
	ctx, tls := f.certified(id)
	_, foreign := f.certified(id)
	key := bytes.Repeat([]byte{7}, sealed.KeySize)
	for name, hello := range map[string]*agentv1.Hello{
		"signed by another key":          f.proven(foreign, id, key),
		"signed for another terminal":    f.proven(tls, "T-0002", key),
		"not signed":                     {JournalId: "journal-1", SealingKey: key},
		"a key that is too short":        f.proven(tls, id, key[1:]),
		"signed for another sealing key": {JournalId: "journal-1", SealingKey: key, SealingKeyProof: f.proven(tls, id, make([]byte, 32)).GetSealingKeyProof()},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.SessionOpened(ctx, id, hello, 0)
			wantRefusal(t, err, "BAD_SEALING_PROOF")
			if r, _ := f.Terminal(t.Context(), id); len(r.GetSealingKeyProof()) > 0 {
				t.Error("a proof that was refused is stored")
			}
		})
	}
}
