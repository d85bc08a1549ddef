package sample

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"

	"software.sslmate.com/src/go-pkcs12"
)

// Identity is a certificate with its key.
type Identity struct {
	Certificate *x509.Certificate
	Key         *ecdsa.PrivateKey
	// issuer is nil when it signed itself.
	issuer *Authority
}

// SHA256 is the certificate's name.
func (i *Identity) SHA256() string { return SHA256(i.Certificate.Raw) }

// SHA256 is the name of the authority's own certificate.
func (a *Authority) SHA256() string { return SHA256(a.Certificate.Raw) }

// Authorities are those between the certificate and its root, and the root, which comes last.
func (i *Identity) Authorities() []*x509.Certificate {
	var chain []*x509.Certificate
	for a := i.issuer; a != nil; a = a.issuer {
		chain = append(chain, a.Certificate)
	}
	return chain
}

// PFX is a PFX file with key, certificate and the authorities above it, encrypted with AES-256.
func (i *Identity) PFX(password string) ([]byte, error) {
	return pkcs12.Modern2023.Encode(i.Key, i.Certificate, i.Authorities(), password)
}

// LegacyPFX is the same in the old encryption (3DES), which Windows Server 2016 needs.
func (i *Identity) LegacyPFX(password string) ([]byte, error) {
	return pkcs12.LegacyDES.Encode(i.Key, i.Certificate, i.Authorities(), password)
}

// PEM is the certificate alone.
func (i *Identity) PEM() []byte { return CertificatePEM(i.Certificate.Raw) }

// CertificatePEM puts a certificate into PEM.
func CertificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// KeyPEM is the key alone, in PKCS #8.
func (i *Identity) KeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(i.Key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
