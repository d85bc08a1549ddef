// Package kept keeps whole what files held before an effect changed them, in a private folder of the agent's data directory: the journal
// and what is told to the server have hashes and the changed values only. The runner puts a content in before it changes the file, takes
// it out to put the file back, and lets go of all that no open task, obligation or lease can still need.
package kept

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bandfleet/bandfleet/agent/host/private"
)

// Folder is such a folder. Contents are named by their lower case hexadecimal SHA-256.
type Folder struct{ path string }

// Open makes the folder if need be, open to the agent's account and administrators alone.
func Open(path string) (*Folder, error) {
	if err := private.MakeDir(path); err != nil {
		return nil, fmt.Errorf("folder of earlier files: %w", err)
	}
	return &Folder{path: path}, nil
}

// Put keeps a content. It is on the disk when it returns its hash.
func (f *Folder) Put(content []byte) (string, error) {
	name := hashOf(content)
	if err := private.WriteFile(filepath.Join(f.path, name), content); err != nil {
		return "", fmt.Errorf("the earlier content of a file cannot be kept: %w", err)
	}
	return name, nil
}

// Get returns a content that was kept. One that is damaged is an error: nothing else may be written in its place.
func (f *Folder) Get(name string) ([]byte, error) {
	content, err := private.ReadFile(filepath.Join(f.path, filepath.Base(name)))
	if err != nil {
		return nil, fmt.Errorf("the earlier content of a file, %q: %w", name, err)
	}
	if hashOf(content) != name {
		return nil, fmt.Errorf("the earlier content of a file, %q: is damaged; put the file back by hand", name)
	}
	return content, nil
}

// Retain removes all but the contents with these names.
func (f *Folder) Retain(names map[string]bool) error {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if names[e.Name()] {
			continue
		}
		if err := os.Remove(filepath.Join(f.path, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func hashOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
