package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/agent/install"
)

// TestTokenFilesOfWindows: `>` of PowerShell writes UTF-16, editors put a mark before UTF-8.
func TestTokenFilesOfWindows(t *testing.T) {
	for name, content := range map[string]string{
		"plain": "token\r\n", "UTF-8 with a mark": "\xef\xbb\xbftoken\r\n", "UTF-16": "\xff\xfet\x00o\x00k\x00e\x00n\x00\r\x00\n\x00",
	} {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readTokenFile(path); err != nil || strings.TrimSpace(got) != "token" {
			t.Errorf("%s: read %q, %v; want the token", name, got, err)
		}
	}
}

func TestSettingsOfAnInstallation(t *testing.T) {
	dir := t.TempDir()
	given := filepath.Join(dir, "given.yaml")
	if err := os.WriteFile(given, []byte("min_lease: 10m\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := installOptions{dataDir: dir, config: given}
	_, args, err := o.settings()
	if want := []string{"--config", install.Settings(dir)}; err != nil || !slices.Equal(args[2:4], want) {
		t.Errorf("arguments %v, %v; want the service to read the installed copy: %v", args, err, want)
	}
	o.config = ""
	if _, args, err := o.settings(); err != nil || slices.Contains(args, "--config") {
		t.Errorf("without settings: %v, %v; want no --config", args, err)
	}
	if err := os.WriteFile(given, []byte("min_leese: 10m\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.config = given
	if _, _, err := o.settings(); err == nil || !strings.Contains(err.Error(), "min_leese") {
		t.Errorf("misspelt settings: %v, want an error that names the key", err)
	}
}

// TestNoTokenNoInstallation: what is missing is told before anything is done, and the token never.
func TestNoTokenNoInstallation(t *testing.T) {
	t.Setenv(tokenVariable, "bft1.not-a-token.secret")
	o := installOptions{}
	_, err := o.enrolment()
	if err == nil || !strings.Contains(err.Error(), "--server is missing") || strings.Contains(err.Error(), "secret") {
		t.Errorf("error is %v, want it to name what is missing and hold nothing of the token", err)
	}
	t.Setenv(tokenVariable, "")
	if _, err := o.enrolment(); err == nil || !strings.Contains(err.Error(), "--token-file") {
		t.Errorf("without a token: %v, want it to say where to give one", err)
	}
}
