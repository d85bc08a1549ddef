//go:build unix

package private_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/private"
)

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "data")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := private.MakeDir(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "tls.key")
	if err := private.WriteFile(path, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]os.FileMode{dir: 0o700, path: 0o600} {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode of %s is %04o, want %04o: other users of the machine must not read keys", p, got, want)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := private.ReadFile(path); err == nil || !strings.Contains(err.Error(), "0600") {
		t.Errorf("ReadFile of a world-readable key = %v, want a refusal that says which mode to set", err)
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
