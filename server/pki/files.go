package pki

import (
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/bandfleet/bandfleet/proto/identity"
)

const (
	keyFile = "ca.key"
	// CertificateFile is the CA's certificate in the data directory; without it there is no CA.
	CertificateFile = "ca.crt"
)

// load reads the CA, or makes it when there is no certificate: a key without one was never used.
func (a *Authority) load(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, CertificateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return a.create(dir)
	}
	if err != nil {
		return err
	}
	cas, err := identity.ParseCertificates(text)
	if err != nil {
		return fmt.Errorf("%s: %w; restore it from a backup", CertificateFile, err)
	}
	a.ca = cas[0]
	if a.key, err = readKey(filepath.Join(dir, keyFile)); err != nil {
		return err
	}
	if !a.key.PublicKey.Equal(a.ca.PublicKey) {
		return fmt.Errorf("%s and %s do not belong together; restore both from one backup", keyFile, CertificateFile)
	}
	return nil
}

// Present gives an error when a data directory holds no authority that can be used. It makes none.
func Present(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, CertificateFile)); err != nil {
		return fmt.Errorf("data directory %q: holds no authority (%w); copy %s and %s of the fleet there first: under another one no agent comes back",
			dir, err, CertificateFile, keyFile)
	}
	if err := (&Authority{}).load(dir); err != nil {
		return fmt.Errorf("data directory %q: %w", dir, err)
	}
	return nil
}

func readKey(path string) (*ecdsa.PrivateKey, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing; restore it from a backup", keyFile)
	}
	if err != nil {
		return nil, err
	}
	if perm := info.Mode().Perm(); runtime.GOOS != "windows" && perm&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others (mode %04o): whoever has it can command the fleet; if nobody has read it, `chmod 600 %s`", keyFile, perm, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := identity.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; restore it from a backup", keyFile, err)
	}
	return key, nil
}

// create makes the CA. The certificate is written last, for it is what makes the CA count.
func (a *Authority) create(dir string) error {
	key, err := identity.GenerateKey()
	if err != nil {
		return err
	}
	now := a.now()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Bandfleet CA"}, NotBefore: now.Add(-backdate), NotAfter: now.Add(caTTL),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	ca, err := signWith(template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	text, err := identity.MarshalKey(key)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, keyFile), text, 0o600); err != nil {
		return err
	}
	a.key, a.ca = key, ca
	return writeFile(filepath.Join(dir, CertificateFile), identity.MarshalCertificates(ca.Raw), 0o644)
}

// writeFile replaces a file as a whole: after a crash it is the old one or the new one.
func writeFile(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
