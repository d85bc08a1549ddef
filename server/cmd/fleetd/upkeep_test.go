package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/server/pki"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/upkeep"
)

// stopped is the data directory of a server that was started once.
func stopped(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := pki.Open(pki.Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(upkeep.Path(dir))
	if err != nil {
		t.Fatal(err)
	}
	st.Close()
	return dir
}

func TestUpkeepCommands(t *testing.T) {
	dir := stopped(t)
	backup := filepath.Join(t.TempDir(), "store.bak")
	spoilt := filepath.Join(t.TempDir(), "spoilt.bak")
	for _, c := range []struct {
		args      []string
		code      int
		out, diag string
	}{
		{args: []string{"backup"}, code: exitBadInput, diag: "fleetd: data-dir: is required\nfleetd: out: is required"},
		{args: []string{"restore", "--data-dir", dir}, code: exitBadInput, diag: "from: is required"},
		{args: []string{"compact"}, code: exitBadInput, diag: "data-dir: is required"},
		{args: []string{"check"}, code: exitBadInput, diag: "either --data-dir or --file"},
		{args: []string{"check", "--data-dir", dir, "--file", backup}, code: exitBadInput, diag: "either --data-dir or --file"},
		{args: []string{"check", "--data-dir", filepath.Join(dir, "none")}, code: exitInternal, diag: "is not there"},
		{args: []string{"backup", "--data-dir", dir, "--out", backup}, out: "backup " + backup + ": "},
		{args: []string{"backup", "--data-dir", dir, "--out", backup}, code: exitInternal, diag: "is there already"},
		{args: []string{"check", "--file", backup}, out: backup + ": sound"},
		{args: []string{"check", "--data-dir", dir}, out: "audit: "},
		{args: []string{"check", "--file", spoilt}, code: exitInternal, diag: "neither of its two meta pages is sound"},
		{args: []string{"compact", "--data-dir", dir}, out: "bytes before, "},
		{args: []string{"restore", "--data-dir", dir, "--from", backup}, code: exitInternal, diag: "with --replace it is moved aside"},
		{args: []string{"restore", "--data-dir", dir, "--from", backup, "--replace"}, out: "restored: epoch "},
		{args: []string{"restore", "--data-dir", dir, "--from", spoilt, "--replace"}, code: exitInternal, diag: "nothing was changed"},
	} {
		if text, err := os.ReadFile(backup); err == nil {
			if err := os.WriteFile(spoilt, bytes.Repeat([]byte{7}, len(text)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var out, diag strings.Builder
		code := run(c.args, &out, &diag)
		if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(diag.String(), c.diag) {
			t.Errorf("fleetd %s: exit code %d, %q and %q, want %d, %q and %q", strings.Join(c.args, " "), code, out.String(), diag.String(), c.code, c.out, c.diag)
		}
	}
}

func TestEveryCommandHasHelpAndAnExample(t *testing.T) {
	for _, cmd := range newRoot().Commands() {
		if cmd.Name() != "version" && (cmd.Long == "" || cmd.Example == "") {
			t.Errorf("fleetd %s lacks a long text or an example", cmd.Name())
		}
	}
}
