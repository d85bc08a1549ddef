package private_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/private"
)

func TestWriteFileReplacesWholeAndLeavesNothingBeside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tls.key")
	for _, content := range []string{"first", "second, longer", "3"} {
		if err := private.WriteFile(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := private.ReadFile(path)
		if err != nil || string(got) != content {
			t.Errorf("ReadFile = %q, %v; want %q: the new content must replace all of the old", got, err, content)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("folder holds %v (%v), want the one file: a temporary file left behind would be a second copy of a key", left, err)
	}
}

func TestFailedWriteKeepsTheOldContent(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "agent.json")
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := private.WriteFile(path, []byte("x")); err == nil {
		t.Error("WriteFile onto a folder that is not empty succeeded, want an error")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("folder holds %v (%v), want only what was there: a failed write must clean up after itself", left, err)
	}
}
