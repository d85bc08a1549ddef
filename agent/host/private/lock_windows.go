package private

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/windows"
)

// lock opens the file so that nobody else can open it meanwhile.
func lock(path string) (io.Closer, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	const shared, access = 0, windows.GENERIC_READ | windows.GENERIC_WRITE
	handle, err := windows.CreateFile(name, access, shared, nil, windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
		return nil, errLocked
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(handle), path), nil
}
