// Package private keeps what the agent alone may know from the other users of the machine: a folder and files that only the
// agent's account (and administrators) can open, written so that a crash leaves the old content or the new and never half
// of it, and a process whose memory is not written to a core file. Packages identity and agent call it; it is below package
// host because access lists and process limits are the operating system's business.
package private

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// MakeDir makes a folder (and its parents) that only this account and administrators can enter. One that is there already is
// narrowed to that.
func MakeDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	if err := restrict(path); err != nil {
		return fmt.Errorf("folder %q: cannot be kept from other users: %w; choose a folder that belongs to the agent's account", path, err)
	}
	return nil
}

// WriteFile replaces or creates a file of mode 0600. After it returned nil, the new content survives a crash; when it
// returned an error or the machine crashed meanwhile, the earlier content is still there.
func WriteFile(path string, content []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	if err := fill(temp, content); err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return SyncDir(filepath.Dir(path))
}

func fill(f *os.File, content []byte) error {
	_, err := f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// ReadFile reads a file that WriteFile wrote. It refuses one that other users can read: what it holds is no secret any more.
func ReadFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if open := othersMay(info.Mode()); open != 0 {
		return nil, fmt.Errorf("file %q: mode %04o lets other users in: set it to 0600, and enrol again if somebody else may have read it",
			path, info.Mode().Perm())
	}
	return os.ReadFile(path)
}

// Exists tells whether there is a file; anything but a clear answer is an error.
func Exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
