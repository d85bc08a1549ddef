package install

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// removeAll removes a folder with all that is in it, and follows no links. One that is not there is no error. It is not os.RemoveAll,
// which asks Windows in a way that Wine does not know.
func removeAll(folder string) error {
	var paths []string
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		paths = append(paths, path)
		return err
	})
	if err != nil {
		return err
	}
	for _, path := range slices.Backward(paths) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
