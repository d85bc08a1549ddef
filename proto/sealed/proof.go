package sealed

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/bandfleet/bandfleet/proto/identity"
)

// proofPurpose separates these signatures from those that TLS makes with the same key: those begin with 64 spaces (RFC 8446, 4.4.3).
const proofPurpose = "bandfleet sealing key of a terminal v1"

// Prove signs a terminal's sealing key (X25519, public) with its TLS key, so that who seals need not take the server's word for it.
func Prove(tlsKey *ecdsa.PrivateKey, terminalID string, sealingKey []byte) ([]byte, error) {
	proof, err := ecdsa.SignASN1(rand.Reader, tlsKey, statement(terminalID, sealingKey))
	if err != nil {
		return nil, fmt.Errorf("proof of the sealing key of terminal %q: %w", terminalID, err)
	}
	return proof, nil
}

// Proof is a sealing key and what shows whose it is.
type Proof struct {
	// SealingKey is an X25519 public key.
	SealingKey []byte
	// Signature is Prove's.
	Signature []byte
	// Chain is the certificate of the TLS key that signed, DER, leaf first.
	Chain [][]byte
}

// Check checks that the sealing key is the one of the terminal with this id: a fleet's CA says whose the TLS key is, and the TLS key
// whose the sealing key is. The certificate must be valid now: a terminal that has been away for longer has to come back first.
func (p Proof) Check(terminalID string, cas *x509.CertPool, now time.Time) error {
	leaf, between, err := p.parse()
	if err != nil {
		return untrusted(terminalID, err)
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: cas, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return untrusted(terminalID, err)
	}
	name, err := identity.FromCertificate(leaf)
	if err != nil {
		return untrusted(terminalID, err)
	}
	if name.Kind != identity.KindAgent || name.ID != terminalID {
		return untrusted(terminalID, fmt.Errorf("the certificate is the one of %q", name))
	}
	return CheckSignature(leaf.PublicKey, terminalID, p.SealingKey, p.Signature)
}

// CheckSignature checks a proof by a TLS key that is known to be the terminal's, as the server knows it of a session.
func CheckSignature(tlsKey any, terminalID string, sealingKey, proof []byte) error {
	public, ok := tlsKey.(*ecdsa.PublicKey)
	if !ok {
		return untrusted(terminalID, fmt.Errorf("the TLS key is %T, want ECDSA", tlsKey))
	}
	if len(sealingKey) != KeySize {
		return untrusted(terminalID, fmt.Errorf("it has %d bytes, want %d", len(sealingKey), KeySize))
	}
	if !ecdsa.VerifyASN1(public, statement(terminalID, sealingKey), proof) {
		return untrusted(terminalID, errors.New("the terminal's TLS key did not sign it"))
	}
	return nil
}

func untrusted(terminalID string, cause error) error {
	return fmt.Errorf("sealing key of terminal %q: %w; nothing may be sealed to it: have the agent connect anew, and if this stays, "+
		"find out who changed the server's store", terminalID, cause)
}

func (p Proof) parse() (*x509.Certificate, *x509.CertPool, error) {
	if len(p.Chain) == 0 {
		return nil, nil, errors.New("no certificate comes with it")
	}
	leaf, err := x509.ParseCertificate(p.Chain[0])
	if err != nil {
		return nil, nil, err
	}
	between := x509.NewCertPool()
	for _, der := range p.Chain[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, nil, err
		}
		between.AddCert(c)
	}
	return leaf, between, nil
}

// statement is the hash of what is signed; each part is led by its length, so that no two statements read alike.
func statement(terminalID string, sealingKey []byte) []byte {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(proofPurpose), []byte(terminalID), sealingKey} {
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(len(part))) // parts of a message
		h.Write(length[:])
		h.Write(part)
	}
	return h.Sum(nil)
}
