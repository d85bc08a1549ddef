package host

import (
	"crypto"
	"crypto/x509"
	"fmt"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/bandfleet/bandfleet/proto/pfx"
)

// firstModernPFX is the first build of Windows (10 version 1809, Server 2019) that surely opens a PFX with AES-256 and a SHA-256 MAC.
// Server 2016 answers that the password is wrong.
const firstModernPFX = 17763

// pfxContent is what a PFX holds, once it is known to be a pair.
type pfxContent struct {
	key  crypto.Signer
	leaf *x509.Certificate
}

// openPFX opens a PFX as everybody else does who has looked at it before. Its errors hold nothing of the PFX nor of the password.
func openPFX(file []byte, password string) (pfxContent, error) {
	key, chain, err := pfx.Open(file, password)
	if err != nil {
		return pfxContent{}, fmt.Errorf("pfx: %w", err)
	}
	return pfxContent{key: key, leaf: chain[0]}, nil
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
