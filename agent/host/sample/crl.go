package sample

import (
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"time"
)

// CRL is a list of revoked certificates with nothing on it, in DER.
func (a *Authority) CRL() ([]byte, error) {
	now := time.Now()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.Add(year)}
	return x509.CreateRevocationList(rand.Reader, list, a.Certificate, a.Key)
}

// CRLNames are the lists that a NES host serves below /crl/.
func CRLNames() []string { return []string{"NESL1CA.crl", "NymiInfraRootCA.crl"} }
