package kept

import (
	"os"
	"path/filepath"
	"testing"
)

func TestContentsAreKeptUntilTheyAreLetGo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kept")
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	one, err := f.Put([]byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := f.Put([]byte("two"))
	if err != nil {
		t.Fatal(err)
	}
	if f, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Get(one); err != nil || string(got) != "one" {
		t.Errorf("content is %q, %v; want what was put in, after a restart too", got, err)
	}
	if err := f.Retain(map[string]bool{two: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Get(one); err == nil {
		t.Error("a content that nobody needs is still there")
	}
	if _, err := f.Get(two); err != nil {
		t.Errorf("a content that is needed: %v", err)
	}
}

func TestADamagedContentIsNotGivenOut(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	name, err := f.Put([]byte("whole"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Get(name); err == nil {
		t.Errorf("a damaged content was given out as %q", got)
	}
}

func TestTheFolderIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kept")
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	name, err := f.Put([]byte("connection string"))
	if err != nil {
		t.Fatal(err)
	}
	for path, most := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, name): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&^most != 0 {
			t.Errorf("%s has the mode %v, %v; want at most %v: earlier files may hold connection strings", path, info.Mode(), err, most)
		}
	}
}
