package host

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/certfacts"
	"golang.org/x/sys/windows"
)

// machineCertificates are the system stores of the machine (CertOpenStore, CERT_SYSTEM_STORE_LOCAL_MACHINE).
type machineCertificates struct {
	// build is that of Windows: it decides which PFX files can be imported.
	build uint32
}

// List implements Certificates. A store that is not there holds nothing: WebHosting comes with the web server.
func (machineCertificates) List(_ context.Context, store string) ([]*actionv1.Certificate, error) {
	if err := CheckStore(store); err != nil {
		return nil, err
	}
	var list []*actionv1.Certificate
	err := withStore(store, windows.CERT_STORE_READONLY_FLAG, func(opened windows.Handle) error {
		return eachCertificate(opened, func(cert *windows.CertContext) bool {
			list = append(list, storedCertificate(store, encoded(cert), keyOf(cert) != nil))
			return true
		})
	})
	if errors.Is(err, ErrNotExist) {
		return nil, nil
	}
	return sortCertificates(list), err
}

// Add implements Certificates.
func (machineCertificates) Add(_ context.Context, store string, der []byte) error {
	if err := checkAddable(der); err != nil {
		return StoreError(store, err)
	}
	return withStore(store, 0, func(opened windows.Handle) error {
		cert, err := windows.CertCreateCertificateContext(windows.X509_ASN_ENCODING, &der[0], uint32(len(der)))
		if err != nil {
			return fmt.Errorf("certificate %s: %w", certfacts.SHA256(der), err)
		}
		defer freeCertificate(cert)
		return windows.CertAddCertificateContextToStore(opened, cert, windows.CERT_STORE_ADD_USE_EXISTING, nil)
	})
}

// Remove implements Certificates.
func (m machineCertificates) Remove(_ context.Context, store, sha256 string) error {
	return withStore(store, 0, func(opened windows.Handle) error {
		cert, err := findCertificate(opened, sha256)
		if err != nil {
			return err
		}
		key := keyOf(cert)
		// It frees the context, whatever comes of it.
		if err := windows.CertDeleteCertificateFromStore(cert); err != nil {
			return fmt.Errorf("certificate %s: %w", sha256, err)
		}
		if key == nil || keyIsShared(*key, sha256) {
			return nil
		}
		if err := key.remove(); err != nil {
			return fmt.Errorf("certificate %s: it is removed, its private key is not: %w", sha256, err)
		}
		return nil
	})
}

// withStore opens a store of the machine that is there. Flags are those of CertOpenStore.
func withStore(store string, flags uint32, do func(windows.Handle) error) error {
	if err := CheckStore(store); err != nil {
		return err
	}
	name, err := windows.UTF16PtrFromString(store)
	if err != nil {
		return StoreError(store, err)
	}
	flags |= windows.CERT_SYSTEM_STORE_LOCAL_MACHINE | windows.CERT_STORE_OPEN_EXISTING_FLAG
	opened, err := windows.CertOpenStore(windows.CERT_STORE_PROV_SYSTEM, 0, 0, flags, uintptr(unsafe.Pointer(name))) //nolint:gosec // lives until the call returns
	if errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return fmt.Errorf("certificate store %q: %w here; WebHosting comes with the web server", store, ErrNotExist)
	}
	if err != nil {
		return StoreError(store, err)
	}
	err = do(opened)
	if flags&windows.CERT_STORE_READONLY_FLAG == 0 {
		commit(opened)
	}
	return StoreError(store, errors.Join(err, windows.CertCloseStore(opened, 0)))
}

// commit writes changes of a store to the disk. Windows does so with each change by itself and may say that there is nothing to do; Wine
// does so only here.
func commit(store windows.Handle) {
	const storeControlCommit = 3 // CERT_STORE_CTRL_COMMIT
	_, _, _ = windows.NewLazySystemDLL("crypt32.dll").NewProc("CertControlStore").Call(uintptr(store), 0, storeControlCommit, 0)
}

// eachCertificate goes through a store until visit says false. A certificate is valid during its visit only.
func eachCertificate(store windows.Handle, visit func(*windows.CertContext) bool) error {
	var cert *windows.CertContext
	for {
		next, err := windows.CertEnumCertificatesInStore(store, cert) // frees the one before
		if next == nil {
			if err == nil || errors.Is(err, windows.Errno(windows.CRYPT_E_NOT_FOUND)) || errors.Is(err, windows.ERROR_NO_MORE_FILES) {
				return nil
			}
			return err
		}
		if cert = next; !visit(cert) {
			freeCertificate(cert)
			return nil
		}
	}
}

// findCertificate returns a certificate that the caller frees. ErrNotExist when it is not in the store.
func findCertificate(store windows.Handle, sha256 string) (*windows.CertContext, error) {
	var found *windows.CertContext
	err := eachCertificate(store, func(cert *windows.CertContext) bool {
		if certfacts.SHA256(encoded(cert)) == sha256 {
			found = windows.CertDuplicateCertificateContext(cert)
		}
		return found == nil
	})
	if err == nil && found == nil {
		err = fmt.Errorf("certificate %s: %w", sha256, ErrNotExist)
	}
	return found, err
}

// encoded copies a certificate's DER.
func encoded(cert *windows.CertContext) []byte {
	return append([]byte(nil), unsafe.Slice(cert.EncodedCert, cert.Length)...)
}

func freeCertificate(cert *windows.CertContext) {
	_ = windows.CertFreeCertificateContext(cert) // always succeeds, says its documentation
}
