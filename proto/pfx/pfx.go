// Package pfx reads PKCS #12 files: a certificate with its private key and the chain that goes with it. It says what is public of one and
// why one cannot be used, in words that never hold any of it. The CLI reads a file before it seals it, the agent after it has opened it.
package pfx

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"slices"

	"software.sslmate.com/src/go-pkcs12"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/certfacts"
)

// Why a PFX cannot be used; each is a clause about it.
var (
	ErrPassword  = errors.New("its password does not open it")
	ErrMalformed = errors.New("it cannot be read as a PFX (PKCS #12) file")
	ErrUnknown   = errors.New("it is protected in a way that is not known here; export it with AES or 3DES protection")
	ErrNoKey     = errors.New("it holds no private key; export the certificate with its private key")
	ErrMismatch  = errors.New("its private key belongs to none of its certificates")
)

// what go-pkcs12 says of files without a key; it has no error values for that.
const keyMissing = "pkcs12: private key missing"

// Facts opens a PFX and returns what is public of it. One that cannot be used has a problem and no chain. Whether it is still valid, and
// whether for the right names, is for whoever asks.
func Facts(file []byte, password string) *actionv1.SecretFacts {
	_, chain, err := Open(file, password)
	if err != nil {
		return &actionv1.SecretFacts{Problem: err.Error()}
	}
	facts := &actionv1.SecretFacts{Chain: certfacts.Chain(chain), HasPrivateKey: true}
	facts.Chain[0].HasPrivateKey = true
	return facts
}

// Open opens a PFX, checks that it holds the private key of one of its certificates, and returns that key, and that certificate followed
// by those that sign it, then whatever else is in the file: no order in the file is relied on.
func Open(file []byte, password string) (key crypto.Signer, chain []*x509.Certificate, err error) {
	found, first, others, err := pkcs12.DecodeChain(file, password)
	if err != nil {
		return nil, nil, problem(err)
	}
	all := append([]*x509.Certificate{first}, others...)
	key, signs := found.(crypto.Signer)
	at := slices.IndexFunc(all, func(c *x509.Certificate) bool { return signs && belongs(key, c) })
	if at < 0 {
		return nil, nil, ErrMismatch
	}
	leaf := all[at]
	return key, inOrder(leaf, slices.Delete(all, at, at+1)), nil
}

// problem puts an error into words of our own: those of decoders quote what they read.
func problem(err error) error {
	var unknown pkcs12.NotImplementedError
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword), errors.Is(err, pkcs12.ErrDecryption):
		return ErrPassword
	case errors.As(err, &unknown):
		return ErrUnknown
	case err.Error() == keyMissing:
		return ErrNoKey
	}
	return ErrMalformed
}

func belongs(key crypto.Signer, c *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(c.PublicKey)
}

// inOrder puts each certificate's issuer after it. Files hold them in any order.
func inOrder(leaf *x509.Certificate, others []*x509.Certificate) []*x509.Certificate {
	chain := []*x509.Certificate{leaf}
	for last := leaf; ; last = chain[len(chain)-1] {
		next := slices.IndexFunc(others, func(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, last.RawIssuer) })
		if next < 0 {
			return append(chain, others...)
		}
		chain = append(chain, others[next])
		others = slices.Delete(others, next, next+1)
	}
}
