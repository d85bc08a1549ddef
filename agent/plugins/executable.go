package plugins

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/bandfleet/bandfleet/agent/runner"
)

// openPinned opens a plugin's file and checks it against its pin. The caller starts the opened file, not whatever is found
// under the path afterwards, and then closes it:
//   - Linux executes the open file itself, so replacing or relinking the path in between changes nothing. Only somebody who may
//     write into the file, which needs the rights of its owner, could still change it.
//   - Windows holds the file open without sharing it for writing, renaming or deletion until it has been started.
func openPinned(p Pin) (*os.File, error) {
	f, err := openFile(p.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("file %q is not there: reinstall the agent", p.File)
	}
	if err != nil {
		return nil, err
	}
	sum, err := hash(f)
	if err == nil && sum != p.SHA256 {
		err = &runner.RefusedError{Message: fmt.Sprintf(
			"file %q has SHA-256 %s, pinned is %s: find out who changed it, reinstall the agent and enrol again", p.File, sum, p.SHA256)}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func hashFile(path string) (string, error) {
	f, err := openFile(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return hash(f)
}

// openFile opens a regular file that lies at path itself: whoever owns a link decides what it leads to, and on Windows it
// could lead elsewhere by the time the path is started.
func openFile(path string) (*os.File, error) {
	f, err := openExecutable(path)
	if err != nil {
		return nil, err
	}
	opened, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if !opened.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("file %q is not a regular file", path), f.Close())
	}
	//nolint:gosec // the path is a pinned one, or one that whoever makes a release names
	if at, err := os.Lstat(path); err != nil || !os.SameFile(at, opened) {
		return nil, errors.Join(&runner.RefusedError{Message: fmt.Sprintf("file %q is a link: put the plugin itself there", path)}, f.Close())
	}
	return f, nil
}

// hash returns the SHA-256 of a file in lower case hexadecimal.
func hash(f *os.File) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
