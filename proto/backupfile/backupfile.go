// Package backupfile writes the file of a backup: it appears under its name complete and on disk, or not at all, is for its
// owner's eyes only, and never takes the place of another file. fleetctl writes what a server sends with it, fleetd what it
// copies itself.
package backupfile

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// File is a backup that is being written, under a name of its own beside the one it will have. End it with Keep or Discard.
type File struct {
	path string
	tmp  *os.File
	sum  hash.Hash
	size uint64
}

// Create begins a backup that will be at path. A path that is taken gives an error that is fs.ErrExist.
func Create(path string) (*File, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, &takenError{path}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("backup %q: %w", path, err)
	}
	// CreateTemp gives it mode 0600.
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".part-*")
	if err != nil {
		return nil, fmt.Errorf("backup %q: %w", path, err)
	}
	return &File{path: path, tmp: tmp, sum: sha256.New()}, nil
}

// takenError says that there is a file under the backup's name. It is fs.ErrExist.
type takenError struct{ path string }

func (e *takenError) Error() string {
	return fmt.Sprintf("backup %q: is there already, and is never written over", e.path)
}

func (e *takenError) Is(target error) bool { return target == fs.ErrExist }

// Write appends to it.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.tmp.Write(p)
	f.size += uint64(n)
	_, _ = f.sum.Write(p[:n]) // never fails: see hash.Hash
	return n, err
}

// Size is how many bytes were written.
func (f *File) Size() uint64 { return f.size }

// SHA256 is the hash of what was written.
func (f *File) SHA256() []byte { return f.sum.Sum(nil) }

// Keep makes it durable and gives it its name.
func (f *File) Keep() error {
	defer os.Remove(f.tmp.Name())
	if err := errors.Join(f.tmp.Sync(), f.tmp.Close()); err != nil {
		return fmt.Errorf("backup %q: %w", f.path, err)
	}
	// A link, unlike a rename, does not replace what may be there by now.
	switch err := os.Link(f.tmp.Name(), f.path); {
	case errors.Is(err, fs.ErrExist):
		return &takenError{f.path}
	case err != nil:
		// Some file systems have no hard links.
		if err := os.Rename(f.tmp.Name(), f.path); err != nil {
			return fmt.Errorf("backup %q: %w", f.path, err)
		}
	}
	return syncDir(filepath.Dir(f.path))
}

// Discard throws it away. After Keep it does nothing.
func (f *File) Discard() {
	// After Keep it is closed and gone.
	_ = f.tmp.Close()
	_ = os.Remove(f.tmp.Name())
}

// syncDir makes a new name in dir survive a loss of power. Windows does that by itself.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
