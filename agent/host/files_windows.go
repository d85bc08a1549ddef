package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// keepAccess gives file the access list of the file that it will replace. Its owner is the agent's account.
func keepAccess(dir *os.Root, name string, _ fs.FileInfo, file *os.File) error {
	old, err := dir.Open(name)
	if err != nil {
		return err
	}
	descriptor, err := windows.GetSecurityInfo(windows.Handle(old.Fd()), windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
	if err = errors.Join(err, old.Close()); err == nil {
		err = setAccess(file, descriptor)
	}
	if err != nil {
		return fmt.Errorf("its access list cannot be kept: %w", err)
	}
	return nil
}

// setAccess writes a descriptor's access list to an open file. It goes by the name that the open file really has, since Go
// opens files without the right to change their access list.
func setAccess(file *os.File, descriptor *windows.SECURITY_DESCRIPTOR) error {
	list, _, err := descriptor.DACL()
	if err != nil {
		return err
	}
	control, _, err := descriptor.Control()
	if err != nil {
		return err
	}
	var inherits windows.SECURITY_INFORMATION = windows.UNPROTECTED_DACL_SECURITY_INFORMATION
	if control&windows.SE_DACL_PROTECTED != 0 {
		inherits = windows.PROTECTED_DACL_SECURITY_INFORMATION
	}
	path, err := finalPath(file)
	if err != nil {
		return err
	}
	return windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION|inherits, nil, nil, list, nil)
}

// finalPath is the full name of an open file, without links.
func finalPath(file *os.File) (string, error) {
	buffer := make([]uint16, windows.MAX_LONG_PATH)
	n, err := windows.GetFinalPathNameByHandle(windows.Handle(file.Fd()), &buffer[0], uint32(len(buffer)), 0)
	if err != nil {
		return "", err
	}
	return windows.UTF16ToString(buffer[:n]), nil
}

// syncFolder has nothing to do: NTFS keeps changes of folders in its own journal, and Windows cannot flush a folder.
func syncFolder(*os.Root, string) error { return nil }

// removeFile removes a file below dir. Where the system cannot delete by handle as os.Root does (Wine), it goes by the name
// that the file really has.
func removeFile(dir *os.Root, name string) error {
	err := dir.Remove(name)
	if !errors.Is(err, windows.ERROR_INVALID_FUNCTION) {
		return err
	}
	file, err := dir.Open(name)
	if err != nil {
		return err
	}
	path, err := finalPath(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Remove(path)
}

// renameFile puts a file in another one's place. Scanners of viruses hold a new file for a moment, and before Windows 10 version 1709 a file
// cannot be replaced while any program has it open, so it is tried again for a while.
func renameFile(dir *os.Root, from, to string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var last error
	err := Poll(ctx, 50*time.Millisecond, func() (bool, error) {
		last = dir.Rename(from, to)
		if errors.Is(last, windows.ERROR_ACCESS_DENIED) || errors.Is(last, windows.ERROR_SHARING_VIOLATION) {
			return false, nil
		}
		return last == nil, last
	})
	if errors.Is(err, ErrTimeout) {
		return last
	}
	return err
}
