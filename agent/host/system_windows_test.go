//go:build realhost

package host_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

func thisMachine(t *testing.T, cfg host.LocalConfig) *host.Host {
	t.Helper()
	h, err := host.Local(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestDetailOfThisWindows(t *testing.T) {
	m, err := thisMachine(t, host.LocalConfig{}).System.Detail(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if m.GetFreeBytes() == 0 || m.GetBootTime().AsTime().After(time.Now()) || m.GetRebootPending() != (len(m.GetRebootReasons()) > 0) {
		t.Errorf("details are %v, want free space, a start in the past, and a reason for each restart that waits", m)
	}
	told := func(field string, set bool) bool { return slices.Contains(m.GetUnknown(), field) != set }
	if !told("domain_role", m.DomainRole != nil) || !told("nfc_readers", m.NfcReaders != nil) {
		t.Errorf("details are %v, want each field either told or named as unknown", m)
	}
}

// TestOpenFilesAreShared: a log that is read can still be rotated by the program that writes it.
func TestOpenFilesAreShared(t *testing.T) {
	folder := emptyFolder(t)
	name := filepath.Join(folder, "nem.log")
	if err := os.WriteFile(name, []byte("line"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := thisMachine(t, host.LocalConfig{Logs: map[string]string{"logs": folder}}).Files.Open(t.Context(), "logs", "nem.log")
	if err != nil {
		t.Fatal(err)
	}
	defer closeOrFail(t, file)
	if err := errors.Join(os.WriteFile(name, []byte("more"), 0o600), os.Rename(name, name+".1")); err != nil {
		t.Errorf("another program cannot write and rename what is read: %v", err)
	}
	if content, err := io.ReadAll(file); err != nil || string(content) != "more" {
		t.Errorf("the open file holds %q, %v; want what was written meanwhile", content, err)
	}
}

// TestNoWebServerHere: a terminal answers so, without an error where the answer is no.
func TestNoWebServerHere(t *testing.T) {
	h := thisMachine(t, host.LocalConfig{})
	inventory, err := h.IIS.Inventory(t.Context(), "Default Web Site")
	if err != nil || inventory.GetInstalled() {
		t.Fatalf("Inventory = %v, %v; want none: this test is for a machine without a web server", inventory, err)
	}
	_, err = h.Bindings.List(t.Context())
	for call, err := range map[string]error{
		"List": err, "StartPool": h.IIS.StartPool(t.Context(), "DefaultAppPool"),
		"Set": h.Bindings.Set(t.Context(), &actionv1.Binding{Site: "Default Web Site"}),
	} {
		if !errors.Is(err, host.ErrNotSupported) {
			t.Errorf("%s = %v, want ErrNotSupported", call, err)
		}
	}
	if _, err := h.Files.Stat(t.Context(), host.NESRoot, "web.config"); !errors.Is(err, host.ErrNotExist) {
		t.Errorf("Stat below a NES root = %v, want ErrNotExist", err)
	}
}
