package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

func TestDetailOfThisMachine(t *testing.T) {
	m, err := linuxSystem{}.Detail(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if m.GetFreeBytes() == 0 || m.GetBootTime() == nil || m.GetBootTime().AsTime().After(time.Now()) {
		t.Errorf("details are %v, want free space and a start in the past", m)
	}
	if !slices.Contains(m.GetUnknown(), "dotnet_release") || m.NfcReaders != nil {
		t.Errorf("details are %v, want what Windows alone knows named as unknown, not as nothing", m)
	}
}

func TestPackagesThatWait(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pkgs")
	if got := packagesThatWait(file); len(got) != 1 {
		t.Errorf("without a list: %q, want one reason all the same", got)
	}
	if err := os.WriteFile(file, []byte("linux-base\ndbus\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := packagesThatWait(file); !slices.Equal(got, []string{"linux-base", "dbus"}) {
		t.Errorf("reasons are %q, want the packages", got)
	}
}

// TestHolders: this process holds a file that it has open, and no longer once it is closed.
func TestHolders(t *testing.T) {
	folder := t.TempDir()
	file, err := os.Create(filepath.Join(folder, "held"))
	if err != nil {
		t.Fatal(err)
	}
	files := newLocalFiles(newRoots(LocalConfig{Roots: map[string]string{"files": folder}}))
	holds := func(h *actionv1.HandleHolder) bool { return int(h.GetPid()) == os.Getpid() && h.GetProgram() != "" }
	if got, err := files.Holders(t.Context(), "files"); err != nil || !slices.ContainsFunc(got, holds) {
		t.Errorf("Holders = %v, %v; want this process among them", got, err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := files.Holders(t.Context(), "files"); err != nil || len(got) != 0 {
		t.Errorf("Holders = %v, %v; want none", got, err)
	}
	if _, err := files.Holders(t.Context(), "none"); !errors.Is(err, ErrNotExist) {
		t.Errorf("Holders of an unknown root = %v, want ErrNotExist", err)
	}
}

func TestDeviceIsDisabledAndEnabled(t *testing.T) {
	folder := t.TempDir()
	writeTree(t, folder, map[string]string{
		"1-1/idVendor": "2458\n", "1-1/idProduct": "0001\n", "1-1/authorized": "1\n",
		"1-2/idVendor": "1d6b\n", "1-2/idProduct": "0002\n", "1-2/authorized": "1\n",
	})
	devices := sysfsDevices{folder}
	for _, enabled := range []bool{false, true, true} {
		if err := devices.SetEnabled(t.Context(), "1-1", "2458", "0001", enabled); err != nil {
			t.Fatalf("SetEnabled(%t) = %v, want success", enabled, err)
		}
		state, err := devices.USB(t.Context(), "2458", "0001")
		if err != nil || state.GetDevices()[0].GetDisabled() == enabled {
			t.Errorf("after SetEnabled(%t): %v, %v; want it so", enabled, state, err)
		}
	}
	for _, instance := range []string{"1-2", "1-3", "../1-1", ""} {
		if err := devices.SetEnabled(t.Context(), instance, "2458", "0001", false); !errors.Is(err, ErrNotExist) {
			t.Errorf("SetEnabled of %q = %v, want ErrNotExist: it has not the adapter's ids", instance, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := awaitDevice(ctx, devices, "1-1", "2458", "0001", false); !errors.Is(err, ErrTimeout) {
		t.Errorf("a device that does not become disabled = %v, want ErrTimeout", err)
	}
}
