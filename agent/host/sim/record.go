package sim

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// readRecord reads a file of the terminal's state. One that is not there yet is the zero value: a terminal of an earlier version has
// fewer files.
func readRecord[T any](t *terminal, name string) (T, error) {
	var record T
	err := readJSON(filepath.Join(t.dir, name), &record)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return record, err
}

// changeRecord lets do change a file of the terminal's state, and replaces the file atomically unless do errs.
func changeRecord[T any](ctx context.Context, t *terminal, name string, do func(*T) error) error {
	return t.exclusively(ctx, func() error {
		record, err := readRecord[T](t, name)
		if err != nil {
			return err
		}
		if err := do(&record); err != nil {
			return err
		}
		return writeJSON(filepath.Join(t.dir, name), record)
	})
}

// writePrivate replaces a file that is for its owner alone, atomically.
func writePrivate(file string, content []byte) error {
	temporary := file + ".new"
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, file)
}
