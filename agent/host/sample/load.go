package sample

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// KeyPEM is the authority's key, in PKCS #8.
func (a *Authority) KeyPEM() ([]byte, error) {
	return (&Identity{Key: a.Key}).KeyPEM()
}

// LoadAuthority reads a root that was written as CertificatePEM and KeyPEM.
func LoadAuthority(certificatePEM, keyPEM []byte) (*Authority, error) {
	certificate, err := ParseCertificatePEM(certificatePEM)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return nil, errors.New("key: is no PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key: is a %T, want ECDSA", parsed)
	}
	return &Authority{Certificate: certificate, Key: key}, nil
}

// ParseCertificatePEM reads the first certificate of a PEM file.
func ParseCertificatePEM(content []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(content)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("is no certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}
