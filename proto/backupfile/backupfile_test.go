package backupfile

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestABackupIsWholeOrNotThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.bak")
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a backup stands under its name: %v", err)
	}
	if sum := sha256.Sum256([]byte("onetwo")); f.Size() != 6 || string(f.SHA256()) != string(sum[:]) {
		t.Errorf("size %d and hash %x are not those of what was written", f.Size(), f.SHA256())
	}
	if err := f.Keep(); err != nil {
		t.Fatal(err)
	}
	f.Discard()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want mode 0600: it names every machine and person", info.Mode(), err)
	}
	only(t, dir, "store.bak")
}

func TestABackupReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.bak")
	late, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v, want that it is there already", err)
	}
	if err := late.Keep(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v, want that it is there by now", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("the file that was there is now %q", text)
	}
	only(t, dir, "store.bak")
}

func TestADiscardedBackupLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	f, err := Create(filepath.Join(dir, "store.bak"))
	if err != nil {
		t.Fatal(err)
	}
	f.Discard()
	only(t, dir)
	if _, err := Create(filepath.Join(dir, "nowhere", "store.bak")); err == nil {
		t.Error("a backup in a directory that does not exist was begun")
	}
}

func only(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(want) {
		t.Fatalf("%v, %v are left, want %v", entries, err, want)
	}
	for i, e := range entries {
		if e.Name() != want[i] {
			t.Errorf("%s is left, want %s", e.Name(), want[i])
		}
	}
}
