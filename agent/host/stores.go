package host

import (
	"fmt"
	"slices"
)

// What the implementations of Certificates share.

// StoreNames are the certificate stores that there are.
func StoreNames() []string { return []string{"Root", "CA", "My", "WebHosting"} }

// CheckStore refuses, with ErrNotExist, a store that is none of StoreNames.
func CheckStore(store string) error {
	if slices.Contains(StoreNames(), store) {
		return nil
	}
	return fmt.Errorf("certificate store %q: %w: want one of %q", store, ErrNotExist, StoreNames())
}

// StoreError names the store that err is about; nil stays nil.
func StoreError(store string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("certificate store %q: %w", store, err)
}
