package private

import (
	"errors"

	"golang.org/x/sys/windows"
)

// RemoveLater removes files and folders, in this order, that this program may still be running from: Windows does it when it starts again.
func RemoveLater(paths ...string) error {
	var errs []error
	for _, path := range paths {
		name, err := windows.UTF16PtrFromString(path)
		if err == nil {
			err = windows.MoveFileEx(name, nil, windows.MOVEFILE_DELAY_UNTIL_REBOOT)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
