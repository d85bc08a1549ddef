package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/bandfleet/bandfleet/proto/certfacts"
	"golang.org/x/sys/windows"
)

// Import implements Certificates. The key becomes one of the machine and cannot be taken out again.
func (m machineCertificates) Import(_ context.Context, store string, pfx []byte, password string) error {
	content, err := openPFX(pfx, password)
	if err != nil {
		return StoreError(store, err)
	}
	return withStore(store, 0, func(opened windows.Handle) error {
		sha256 := certfacts.SHA256(content.leaf.Raw)
		if there, err := hasWithKey(opened, sha256); there || err != nil {
			return err
		}
		again, err := content.encodeFor(m.build, password)
		if err != nil {
			return err
		}
		defer clear(again)
		return importPair(opened, sha256, again, password)
	})
}

// hasWithKey says whether a store has a certificate and is linked to its key.
func hasWithKey(store windows.Handle, sha256 string) (bool, error) {
	cert, err := findCertificate(store, sha256)
	if errors.Is(err, ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer freeCertificate(cert)
	return keyOf(cert) != nil, nil
}

// importPair has Windows keep the key, and puts the certificate, linked to it, into the store. When that comes to nothing, the key is
// removed again.
func importPair(store windows.Handle, sha256 string, pfx []byte, password string) error {
	secret, err := windows.UTF16FromString(password)
	if err != nil {
		return errors.New("pfx: its password has a zero character in it")
	}
	defer clear(secret)
	pair, err := openPair(&windows.CryptDataBlob{Size: uint32(len(pfx)), Data: &pfx[0]}, &secret[0])
	if err != nil {
		return fmt.Errorf("pfx: this Windows does not take it: %w", err)
	}
	defer func() { _ = windows.CertCloseStore(pair, 0) }() // it was in memory alone
	cert, err := findCertificate(pair, sha256)
	if err != nil {
		return err
	}
	defer freeCertificate(cert)
	if err := windows.CertAddCertificateContextToStore(store, cert, windows.CERT_STORE_ADD_REPLACE_EXISTING, nil); err != nil {
		if key := keyOf(cert); key != nil {
			err = errors.Join(err, key.remove())
		}
		return fmt.Errorf("certificate %s: %w", sha256, err)
	}
	return nil
}

// openPair has Windows open a PFX and keep its key: with CNG, whose keys TLS 1.3 can use, and where that is not to be had (Wine) as
// Windows chooses.
func openPair(pfx *windows.CryptDataBlob, password *uint16) (windows.Handle, error) {
	store, err := windows.PFXImportCertStore(pfx, password, windows.CRYPT_MACHINE_KEYSET|windows.PKCS12_PREFER_CNG_KSP)
	if err == nil {
		return store, nil
	}
	return windows.PFXImportCertStore(pfx, password, windows.CRYPT_MACHINE_KEYSET)
}
