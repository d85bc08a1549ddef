package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// keepAccess gives file the mode and the owner of the file that it will replace. Extended attributes are not carried over.
func keepAccess(_ *os.Root, _ string, before fs.FileInfo, file *os.File) error {
	if owner, ok := before.Sys().(*syscall.Stat_t); ok {
		if err := file.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return fmt.Errorf("its owner cannot be kept: %w", err)
		}
	}
	// After the change of owner, which clears the set-id bits.
	return file.Chmod(before.Mode())
}

// syncFolder makes a rename or removal in the folder survive a loss of power.
func syncFolder(dir *os.Root, folder string) error {
	opened, err := dir.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(opened.Sync(), opened.Close())
}

// removeFile removes a file below dir.
func removeFile(dir *os.Root, name string) error { return dir.Remove(name) }

// renameFile puts a file in another one's place.
func renameFile(dir *os.Root, from, to string) error { return dir.Rename(from, to) }
