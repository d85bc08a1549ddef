package sim

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/certfacts"
)

// Certificate stores are folders with a file for each certificate, "SHA256.pem", and for its key, "SHA256.key", which comes first and
// goes last.
const (
	storesFolder    = "certificates"
	certificateFile = ".pem"
	keyFile         = ".key"
)

// storeNames are the stores that there are.
func storeNames() []string { return []string{"CA", "My", "Root", "WebHosting"} }

// storeFile names a file of a store.
func (t *terminal) storeFile(store, name string) string {
	return filepath.Join(t.dir, storesFolder, store, name)
}

// stored are the certificates of a store, sorted by SHA-256.
func (t *terminal) stored(store string) ([]*x509.Certificate, error) {
	if !slices.Contains(storeNames(), store) {
		return nil, storeError(store, host.ErrNotExist)
	}
	entries, err := os.ReadDir(t.storeFile(store, "."))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, storeError(store, err)
	}
	var certificates []*x509.Certificate
	for _, entry := range entries { // sorted by name
		if !strings.HasSuffix(entry.Name(), certificateFile) {
			continue
		}
		content, err := os.ReadFile(t.storeFile(store, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, storeError(store, err)
		}
		certificate, err := sample.ParseCertificatePEM(content)
		if err != nil {
			return nil, storeError(store, fmt.Errorf("%s: %w", entry.Name(), err))
		}
		certificates = append(certificates, certificate)
	}
	return certificates, nil
}

// has says whether a file of a store is there.
func (t *terminal) has(store, name string) (bool, error) {
	_, err := os.Stat(t.storeFile(store, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// store puts a certificate, and its key unless that is nil, into a store. A key that is there already stays.
func (t *terminal) store(ctx context.Context, store string, der, keyPEM []byte) error {
	if !slices.Contains(storeNames(), store) {
		return storeError(store, host.ErrNotExist)
	}
	name := sample.SHA256(der)
	return storeError(store, t.exclusively(ctx, func() error {
		if err := os.MkdirAll(t.storeFile(store, "."), 0o700); err != nil {
			return err
		}
		if hasKey, err := t.has(store, name+keyFile); err != nil {
			return err
		} else if keyPEM != nil && !hasKey {
			if err := writePrivate(t.storeFile(store, name+keyFile), keyPEM); err != nil {
				return err
			}
		}
		return writePrivate(t.storeFile(store, name+certificateFile), sample.CertificatePEM(der))
	}))
}

func storeError(store string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("certificate store %q: %w", store, err)
}

// certificates is a simulated terminal's host.Certificates.
type certificates struct{ *terminal }

// List implements host.Certificates.
func (v certificates) List(_ context.Context, store string) ([]*actionv1.Certificate, error) {
	found, err := v.stored(store)
	if err != nil {
		return nil, err
	}
	var list []*actionv1.Certificate
	for _, certificate := range found {
		facts := certfacts.Of(certificate)
		facts.Store = store
		if facts.HasPrivateKey, err = v.has(store, facts.GetSha256()+keyFile); err != nil {
			return nil, storeError(store, err)
		}
		list = append(list, facts)
	}
	return list, nil
}

// Add implements host.Certificates.
func (v certificates) Add(ctx context.Context, store string, der []byte) error {
	if _, err := x509.ParseCertificate(der); err != nil {
		return storeError(store, fmt.Errorf("certificate %s: %w", sample.SHA256(der), err))
	}
	return v.store(ctx, store, der, nil)
}

// Import implements host.Certificates.
func (v certificates) Import(ctx context.Context, store string, pfx []byte, password string) error {
	key, certificate, _, err := pkcs12.DecodeChain(pfx, password)
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return storeError(store, errors.New("the password does not open the PFX"))
	}
	if err != nil {
		return storeError(store, fmt.Errorf("the PFX cannot be read: %w", err))
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return storeError(store, err)
	}
	defer clear(keyPEM)
	return v.store(ctx, store, certificate.Raw, keyPEM)
}

// encodeKey puts a private key of the kinds that TLS servers have into PEM.
func encodeKey(key any) ([]byte, error) {
	switch key.(type) {
	case *ecdsa.PrivateKey, *rsa.PrivateKey:
	default:
		return nil, fmt.Errorf("the PFX has a key of the kind %T: want ECDSA or RSA", key)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Remove implements host.Certificates.
func (v certificates) Remove(ctx context.Context, store, sha256 string) error {
	if !slices.Contains(storeNames(), store) {
		return storeError(store, host.ErrNotExist)
	}
	return v.exclusively(ctx, func() error {
		here, err := v.stored(store)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(here, func(c *x509.Certificate) bool { return sample.SHA256(c.Raw) == sha256 }) {
			return fmt.Errorf("certificate %s of store %q: %w", sha256, store, host.ErrNotExist)
		}
		for _, suffix := range []string{certificateFile, keyFile} {
			if err := os.Remove(v.storeFile(store, sha256+suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return storeError(store, err)
			}
		}
		return nil
	})
}
