package host

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"

	"software.sslmate.com/src/go-pkcs12"
)

// firstModernPFX is the first build of Windows (10 version 1809, Server 2019) that surely opens a PFX with AES-256 and a SHA-256 MAC.
// Server 2016 answers that the password is wrong.
const firstModernPFX = 17763

// pfxContent is what a PFX holds, once it is known to be a pair.
type pfxContent struct {
	key  any
	leaf *x509.Certificate
}

// openPFX opens a PFX and proves that its key belongs to its certificate. Its errors hold nothing of the PFX nor of the password.
func openPFX(pfx []byte, password string) (pfxContent, error) {
	key, leaf, _, err := pkcs12.DecodeChain(pfx, password)
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword):
		return pfxContent{}, errors.New("pfx: its password does not open it: check the password's secret")
	case err != nil:
		return pfxContent{}, fmt.Errorf("pfx: %w: it must hold one certificate with its private key", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return pfxContent{}, errors.New("pfx: its private key is of a kind that cannot sign")
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(leaf.PublicKey) {
		return pfxContent{}, errors.New("pfx: its private key does not belong to its certificate: make it anew")
	}
	return pfxContent{key: key, leaf: leaf}, nil
}

// encodeFor makes a PFX of the pair alone that this build of Windows opens, whatever the one that it came from was made with. The caller
// zeroes it.
func (c pfxContent) encodeFor(build uint32, password string) ([]byte, error) {
	encoder := pkcs12.Modern2023
	if build < firstModernPFX {
		encoder = pkcs12.LegacyDES
	}
	encoded, err := encoder.Encode(c.key, c.leaf, nil, password)
	if err != nil {
		return nil, fmt.Errorf("pfx: cannot be made fit for this Windows: %w", err)
	}
	return encoded, nil
}
