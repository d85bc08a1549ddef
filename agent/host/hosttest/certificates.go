package hosttest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/certfacts"
)

// storeNames are the certificate stores that a machine has.
func storeNames() []string { return []string{"CA", "My", "Root", "WebHosting"} }

// held is a certificate in a store.
type held struct {
	certificate *x509.Certificate
	hasKey      bool
}

func (h held) sha256() string { return sample.SHA256(h.certificate.Raw) }

// Trust puts roots into the store of roots. It is not among Calls.
func (m *Memory) Trust(roots ...*x509.Certificate) {
	for _, root := range roots {
		m.Hold("Root", root, false)
	}
}

// Hold puts a certificate into a store, with its key or without, in place of one that is there already. It is not among Calls.
func (m *Memory) Hold(store string, certificate *x509.Certificate, hasKey bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hold(store, held{certificate, hasKey})
}

// Drop takes a certificate out of a store. It is not among Calls.
func (m *Memory) Drop(store, sha256 string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stores[store] = slices.DeleteFunc(m.stores[store], func(h held) bool { return h.sha256() == sha256 })
}

// hold puts a certificate into a store. Called with mu held.
func (m *Memory) hold(store string, added held) {
	others := slices.DeleteFunc(m.stores[store], func(h held) bool { return h.sha256() == added.sha256() })
	m.stores[store] = append(others, added)
	slices.SortFunc(m.stores[store], func(a, b held) int { return cmp.Compare(a.sha256(), b.sha256()) })
}

// inStore finds a certificate. Called with mu held.
func (m *Memory) inStore(store, sha256 string) (held, error) {
	if !slices.Contains(storeNames(), store) {
		return held{}, fmt.Errorf("certificate store %q: %w", store, host.ErrNotExist)
	}
	for _, h := range m.stores[store] {
		if h.sha256() == sha256 {
			return h, nil
		}
	}
	return held{}, certificateError(store, sha256, host.ErrNotExist)
}

func certificateError(store, sha256 string, err error) error {
	return fmt.Errorf("certificate %s of store %q: %w", sha256, store, err)
}

// memoryCertificates is Memory's host.Certificates.
type memoryCertificates struct{ m *Memory }

// List implements host.Certificates.
func (v memoryCertificates) List(_ context.Context, store string) ([]*actionv1.Certificate, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	if !slices.Contains(storeNames(), store) {
		return nil, fmt.Errorf("certificate store %q: %w", store, host.ErrNotExist)
	}
	var list []*actionv1.Certificate
	for _, h := range v.m.stores[store] {
		c := certfacts.Of(h.certificate)
		c.Store, c.HasPrivateKey = store, h.hasKey
		list = append(list, c)
	}
	return list, nil
}

// Add implements host.Certificates.
func (v memoryCertificates) Add(_ context.Context, store string, der []byte) error {
	sha256 := sample.SHA256(der)
	if err := v.m.mutating("certificate-add", store+"/"+sha256); err != nil {
		return err
	}
	certificate, err := x509.ParseCertificate(bytes.Clone(der))
	if err != nil {
		return certificateError(store, sha256, err)
	}
	return v.add(store, held{certificate, false})
}

// Import implements host.Certificates.
func (v memoryCertificates) Import(_ context.Context, store string, pfx []byte, password string) error {
	if err := v.m.mutating("certificate-import", store); err != nil {
		return err
	}
	_, certificate, _, err := pkcs12.DecodeChain(pfx, password)
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return fmt.Errorf("certificate store %q: the password does not open the PFX", store)
	}
	if err != nil {
		return fmt.Errorf("certificate store %q: the PFX cannot be read: %w", store, err)
	}
	return v.add(store, held{certificate, true})
}

// add leaves what is there already as it is, but for a key that it had not.
func (v memoryCertificates) add(store string, added held) error {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	present, err := v.m.inStore(store, added.sha256())
	if err != nil && !slices.Contains(storeNames(), store) {
		return err
	}
	if err != nil || (added.hasKey && !present.hasKey) {
		v.m.hold(store, added)
	}
	return nil
}

// Remove implements host.Certificates.
func (v memoryCertificates) Remove(_ context.Context, store, sha256 string) error {
	if err := v.m.mutating("certificate-remove", store+"/"+sha256); err != nil {
		return err
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	if _, err := v.m.inStore(store, sha256); err != nil {
		return err
	}
	v.m.stores[store] = slices.DeleteFunc(v.m.stores[store], func(h held) bool { return h.sha256() == sha256 })
	return nil
}
