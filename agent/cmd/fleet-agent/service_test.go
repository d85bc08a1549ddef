package main

import (
	"strings"
	"testing"
)

// TestUninstallReadsTheServicesOwnArguments: they say where its data is; what cannot be understood keeps it from being removed.
func TestUninstallReadsTheServicesOwnArguments(t *testing.T) {
	args := []string{"service", "run", "--name", "bandfleet-agent", "--data-dir", t.TempDir(), "--min-lease", "10m"}
	if err := revertLeases(t.Context(), args); err != nil {
		t.Errorf("a folder without an agent: %v, want nothing to put back", err)
	}
	if err := revertLeases(t.Context(), append(args, "--of-a-later-release")); err == nil || !strings.Contains(err.Error(), "of-a-later-release") {
		t.Errorf("arguments that are not understood: %v, want an error that names them", err)
	}
}
