package runnertest

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/bandfleet/bandfleet/agent/plugins"
	"github.com/bandfleet/bandfleet/agent/runner"
)

// IsProgram says whether the test binary was started as the plugin of this name; a TestMain then calls the plugin's main.
func IsProgram(name string) bool {
	base := filepath.Base(os.Args[0])
	return base == name || base == name+".exe"
}

// Program offers the actions of the test binary as those of a plugin program of this name: locked, pinned, and started as a process over
// mutual TLS. It needs real time: see On.
func Program(t *testing.T, name string) (offered runner.Plugins, pinned plugins.Pin) {
	t.Helper()
	self, err := os.ReadFile(os.Args[0]) //nolint:gosec // the test binary itself
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, name+map[string]string{"windows": ".exe"}[runtime.GOOS])
	if err := os.WriteFile(file, self, 0o700); err != nil { //nolint:gosec // a program must be executable
		t.Fatal(err)
	}
	if err := plugins.WriteLock(dir, ""); err != nil {
		t.Fatalf("plugin %q cannot be locked: %v", name, err)
	}
	pins, err := plugins.ReadLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	set, err := plugins.NewSet(pins, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return set, pins[0]
}
