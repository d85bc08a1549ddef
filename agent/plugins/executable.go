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
	f, err := openExecutable(p.File)
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
	f, err := openExecutable(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return hash(f)
}

// hash returns the SHA-256 of a regular file in lower case hexadecimal.
func hash(f *os.File) (string, error) {
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("file %q is not a regular file", f.Name())
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
