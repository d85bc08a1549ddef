//go:build unix

package private

import (
	"errors"
	"os"
)

// RemoveLater removes files and folders, in this order, that this program may still be running from.
func RemoveLater(paths ...string) error {
	var errs []error
	for _, path := range paths {
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(errs...)
}
