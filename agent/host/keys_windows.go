package host

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// machineKey says where the private key of a certificate is kept.
type machineKey struct {
	container, provider string
	// providerType is 0 for a key of CNG, else the type of its CryptoAPI provider.
	providerType uint32
	flags        uint32
}

// keyProviderInfo is CRYPT_KEY_PROV_INFO of wincrypt.h.
type keyProviderInfo struct {
	container, provider *uint16
	providerType, flags uint32
	parameters          uint32
	parameterList       uintptr
	keySpec             uint32
}

// keyOf returns the key that a certificate is linked to; nil when there is none.
func keyOf(cert *windows.CertContext) *machineKey {
	const keyProvInfo = 2 // CERT_KEY_PROV_INFO_PROP_ID
	get := windows.NewLazySystemDLL("crypt32.dll").NewProc("CertGetCertificateContextProperty")
	var size uint32
	if ok, _, _ := get.Call(uintptr(unsafe.Pointer(cert)), keyProvInfo, 0, uintptr(unsafe.Pointer(&size))); ok == 0 || size == 0 { //nolint:gosec // variables of this frame
		return nil
	}
	// Of whole words, so that the structure at its start is aligned.
	buffer := make([]uintptr, (uintptr(size)+unsafe.Sizeof(uintptr(0))-1)/unsafe.Sizeof(uintptr(0)))
	if ok, _, _ := get.Call(uintptr(unsafe.Pointer(cert)), keyProvInfo, uintptr(unsafe.Pointer(&buffer[0])), uintptr(unsafe.Pointer(&size))); ok == 0 { //nolint:gosec // likewise
		return nil
	}
	info := (*keyProviderInfo)(unsafe.Pointer(&buffer[0])) //nolint:gosec // what the call has written
	return &machineKey{
		container: windows.UTF16PtrToString(info.container), provider: windows.UTF16PtrToString(info.provider),
		providerType: info.providerType, flags: info.flags,
	}
}

// keyIsShared says whether a certificate with this hash still stands with this key in one of the machine's stores.
func keyIsShared(key machineKey, sha256 string) bool {
	shared := false
	for _, store := range StoreNames() {
		// A store that cannot be read holds no certificate that could use the key.
		_ = withStore(store, windows.CERT_STORE_READONLY_FLAG, func(opened windows.Handle) error {
			cert, err := findCertificate(opened, sha256)
			if err != nil {
				return err
			}
			defer freeCertificate(cert)
			if other := keyOf(cert); other != nil && other.container == key.container {
				shared = true
			}
			return nil
		})
	}
	return shared
}

// remove deletes the key itself. One that is gone already is no error.
func (k machineKey) remove() error {
	container, err := windows.UTF16PtrFromString(k.container)
	if err != nil {
		return err
	}
	provider, err := windows.UTF16PtrFromString(k.provider)
	if err != nil {
		return err
	}
	if k.providerType == 0 {
		return removeCNG(container, provider)
	}
	var gone windows.Handle // stays empty: the context is deleted, not opened
	err = windows.CryptAcquireContext(&gone, container, provider, k.providerType, windows.CRYPT_DELETEKEYSET|windows.CRYPT_MACHINE_KEYSET)
	if errors.Is(err, windows.Errno(windows.NTE_BAD_KEYSET)) {
		return nil
	}
	return err
}

// removeCNG deletes a machine's key from a key storage provider (ncrypt.h).
func removeCNG(container, provider *uint16) error {
	const machineKeyFlag = 0x20 // NCRYPT_MACHINE_KEY_FLAG
	dll := windows.NewLazySystemDLL("ncrypt.dll")
	free := func(handle uintptr) { _, _, _ = dll.NewProc("NCryptFreeObject").Call(handle) }
	var storage, key uintptr
	if err := status(dll.NewProc("NCryptOpenStorageProvider").Call(uintptr(unsafe.Pointer(&storage)), uintptr(unsafe.Pointer(provider)), 0)); err != nil { //nolint:gosec // variables of this frame
		return err
	}
	defer free(storage)
	err := status(dll.NewProc("NCryptOpenKey").Call(storage, uintptr(unsafe.Pointer(&key)), uintptr(unsafe.Pointer(container)), 0, machineKeyFlag)) //nolint:gosec // likewise
	if errors.Is(err, windows.Errno(windows.NTE_BAD_KEYSET)) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := status(dll.NewProc("NCryptDeleteKey").Call(key, 0)); err != nil {
		free(key)
		return err
	}
	return nil // a deleted key's handle is freed with it
}

// status reads the result of a call that returns its error.
func status(result, _ uintptr, _ error) error {
	if result == 0 {
		return nil
	}
	return syscall.Errno(uint32(result))
}
