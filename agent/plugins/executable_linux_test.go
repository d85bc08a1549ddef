package plugins

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOnlyTheFileItself: a plugin is the file at its path, neither what a link there leads to nor a pipe, which would keep the
// agent waiting.
func TestOnlyTheFileItself(t *testing.T) {
	for want, replace := range map[string]func(file string) error{
		"is a link": func(file string) error {
			elsewhere := filepath.Join(t.TempDir(), "good")
			if err := os.Rename(file, elsewhere); err != nil {
				return err
			}
			return os.Symlink(elsewhere, file)
		},
		"is not a regular file": func(file string) error {
			if err := os.Remove(file); err != nil {
				return err
			}
			return unix.Mkfifo(file, 0o700)
		},
	} {
		t.Run(want, func(t *testing.T) {
			dir := install(t, "good")
			pin := pinOf(t, dir, "good")
			if err := WriteLock(dir, ""); err != nil {
				t.Fatal(err)
			}
			if err := replace(pin.File); err != nil {
				t.Fatal(err)
			}
			if _, err := ReadLock(dir); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("enrolment says %v, want that it %s", err, want)
			}
			if _, err := openPinned(pin); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("a start says %v, want that it %s", err, want)
			}
		})
	}
}
