package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"time"

	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// Issued is a certificate that was signed.
type Issued struct {
	// Chain is DER, leaf first.
	Chain [][]byte
	// KeySHA256 is the SHA-256 of the subject public key info: the key that may speak for the name.
	KeySHA256 []byte
	NotAfter  time.Time
}

// IssueAgent signs a certificate for a terminal. Everything in csr but the public key is ignored. A bad csr is a refusal.
func (a *Authority) IssueAgent(terminalID string, csr []byte) (*Issued, error) {
	return a.issue(identity.Name{Kind: identity.KindAgent, ID: terminalID}, csr, a.agentTTL)
}

// IssueOperator signs a certificate for an operator, as IssueAgent does; ttl 0 means DefaultOperatorTTL.
func (a *Authority) IssueOperator(name string, csr []byte, ttl time.Duration) (*Issued, error) {
	if ttl == 0 {
		ttl = DefaultOperatorTTL
	}
	return a.issue(identity.Name{Kind: identity.KindOperator, ID: name}, csr, ttl)
}

func (a *Authority) issue(name identity.Name, csr []byte, ttl time.Duration) (*Issued, error) {
	public, spki, err := publicKey(csr)
	if err != nil {
		return nil, err
	}
	template, err := a.template(name, ttl)
	if err != nil {
		return nil, err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	leaf, err := a.sign(template, public)
	if err != nil {
		return nil, err
	}
	sum := identity.KeyFingerprint(spki)
	return &Issued{Chain: [][]byte{leaf.Raw}, KeySHA256: sum[:], NotAfter: leaf.NotAfter}, nil
}

// KeySHA256 returns the SHA-256 of the public key of a certificate request, whose signature is checked.
func KeySHA256(csr []byte) ([]byte, error) {
	_, spki, err := publicKey(csr)
	if err != nil {
		return nil, err
	}
	sum := identity.KeyFingerprint(spki)
	return sum[:], nil
}

func publicKey(csr []byte) (*ecdsa.PublicKey, []byte, error) {
	bad := func(cause string) error {
		return refusal.New(refusal.Invalid, "BAD_CSR", "certificate request: %s", cause).At("csr").
			Then("send a PKCS #10 request in DER, signed by its own ECDSA P-256 key")
	}
	r, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, nil, bad("cannot be parsed")
	}
	public, ok := r.PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, nil, bad("its key is not ECDSA P-256")
	}
	if err := r.CheckSignature(); err != nil {
		return nil, nil, bad("its signature is not by its own key")
	}
	return public, r.RawSubjectPublicKeyInfo, nil
}
