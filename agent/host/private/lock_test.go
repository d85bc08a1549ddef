package private_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/private"
)

func TestALockIsHeldByOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := private.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := private.Lock(path); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("a second lock: %v, want an error that says that another program holds it", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := private.Lock(path)
	if err != nil {
		t.Fatalf("a lock that was let go: %v, want it to be taken", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestAProgramFolderIsNotWritableForOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "programs")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := private.MakeProgramDir(dir); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm() & 0o022; got != 0 {
		t.Errorf("others may write to it (mode %04o), want the owner alone", info.Mode().Perm())
	}
}
