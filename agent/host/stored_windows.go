package host

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"slices"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/certfacts"
)

// storedCertificate reads a certificate of a store. One that Go cannot read is listed by its hash alone: it is there all the same.
func storedCertificate(store string, der []byte, hasKey bool) *actionv1.Certificate {
	facts, err := certfacts.FromDER(der)
	if err != nil {
		facts = &actionv1.Certificate{Sha256: certfacts.SHA256(der), Sha1: certfacts.SHA1(der)}
	}
	facts.Store, facts.HasPrivateKey = store, hasKey
	return facts
}

// sortCertificates orders as Certificates.List promises, and leaves out what stands in several parts of one store.
func sortCertificates(list []*actionv1.Certificate) []*actionv1.Certificate {
	slices.SortFunc(list, func(a, b *actionv1.Certificate) int {
		if c := cmp.Compare(a.GetSha256(), b.GetSha256()); c != 0 || a.GetHasPrivateKey() == b.GetHasPrivateKey() {
			return c
		}
		if a.GetHasPrivateKey() {
			return -1
		}
		return 1
	})
	return slices.CompactFunc(list, func(a, b *actionv1.Certificate) bool { return a.GetSha256() == b.GetSha256() })
}

// checkAddable refuses what is no certificate, before anything is changed.
func checkAddable(der []byte) error {
	if _, err := x509.ParseCertificate(der); err != nil {
		return fmt.Errorf("certificate %s: cannot be read, so it is not added: %w", certfacts.SHA256(der), err)
	}
	return nil
}
