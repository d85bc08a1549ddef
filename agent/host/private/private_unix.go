//go:build unix

package private

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// restrict takes away every right of group and others, and refuses a folder that another user owns: its owner could read
// whatever is put there.
func restrict(path string) error { return belongs(path, 0o700) }

// forPrograms lets others read and run what is in a folder of this account's own.
func forPrograms(path string) error { return belongs(path, 0o755) }

// belongs gives a folder of this account's a mode, and refuses one of another account's.
func belongs(path string, mode fs.FileMode) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return errors.New("it is not a folder")
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("user %d owns it and this program runs as user %d", st.Uid, os.Geteuid())
	}
	return os.Chmod(path, mode)
}

func othersMay(mode fs.FileMode) fs.FileMode { return mode.Perm() & 0o077 }

// SyncDir makes renames in a folder durable.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
