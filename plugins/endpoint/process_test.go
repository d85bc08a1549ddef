package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"go.uber.org/goleak"

	"github.com/bandfleet/bandfleet/agent/plugins"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
)

// The test binary is the plugin when it has the plugin's name.
func TestMain(m *testing.M) {
	if name := filepath.Base(os.Args[0]); name == "endpoint" || name == "endpoint.exe" {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// TestAsAProcess takes the whole way once in real time: lock, pins, a process over mutual TLS, the runner.
func TestAsAProcess(t *testing.T) {
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name := "endpoint" + map[string]string{"windows": ".exe"}[runtime.GOOS]
	if err := os.WriteFile(filepath.Join(dir, name), self, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := plugins.WriteLock(dir, ""); err != nil {
		t.Fatal(err)
	}
	pins, err := plugins.ReadLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	set, err := plugins.NewSet(pins, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	runnertest.On(t, runnertest.Setup{Plugins: set}, func(b *runnertest.Bench) {
		res := b.Run("ble-restart", params("stable_for=10s"))
		if res.GetStatus() != succeeded || res.GetPluginSha256() != pins[0].SHA256 {
			t.Errorf("result = %v, want success by the pinned plugin %s", res, pins[0].SHA256)
		}
	})
}
