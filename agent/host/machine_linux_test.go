package host

import (
	"os"
	"path/filepath"
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/coreos/go-systemd/v22/dbus"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
)

// writeTree writes files below folder.
func writeTree(t *testing.T, folder string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSysfsDevices(t *testing.T) {
	folder := t.TempDir()
	writeTree(t, folder, map[string]string{
		"usb1/idVendor": "1d6b\n", "usb1/idProduct": "0002\n",
		"1-1/idVendor": "2458\n", "1-1/idProduct": "0001\n", "1-1/manufacturer": "Bluegiga\n",
		"1-1/product": "Low Energy Dongle\n", "1-1/authorized": "1\n", "1-1/1-1:1.0/tty/ttyACM0/dev": "166:0\n",
		"1-2/idVendor": "2458\n", "1-2/idProduct": "0001\n", "1-2/authorized": "0\n",
		"1-3/idVendor": "2458\n", "1-3/idProduct": "0002\n",
		"1-1:1.0/bInterfaceClass": "02\n",
	})
	got, err := sysfsDevices{folder}.USB(t.Context(), "2458", "0001")
	if err != nil {
		t.Fatal(err)
	}
	want := &actionv1.DeviceState{Devices: []*actionv1.Device{
		{Instance: "1-1", Name: "Bluegiga Low Energy Dongle", Port: "/dev/ttyACM0"},
		{Instance: "1-2", ProblemCode: problemDisabled, Disabled: true},
	}}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("USB differs (-want +got):\n%s", diff)
	}
}

func TestReadRelease(t *testing.T) {
	for _, c := range []struct{ content, want string }{
		{"NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n", "Debian GNU/Linux 12 (bookworm)"},
		{"PRETTY_NAME='HP ThinPro 8'", "HP ThinPro 8"},
		{"PRETTY_NAME=Plain\n", "Plain"},
		{"NAME=x\n", "Linux"},
	} {
		file := filepath.Join(t.TempDir(), "os-release")
		writeTree(t, filepath.Dir(file), map[string]string{"os-release": c.content})
		if got, err := readRelease(file); err != nil || got != c.want {
			t.Errorf("readRelease(%q) = %q, %v; want %q", c.content, got, err, c.want)
		}
	}
	if got, err := readRelease(filepath.Join(t.TempDir(), "none")); err != nil || got != "Linux" {
		t.Errorf("readRelease without a file = %q, %v; want Linux", got, err)
	}
}

func TestUnitState(t *testing.T) {
	unit := func(load, active string, pid uint32, code, status int32) map[string]any {
		return map[string]any{"LoadState": load, "ActiveState": active, "MainPID": pid, "ExecMainCode": code, "ExecMainStatus": status}
	}
	for _, c := range []struct {
		name       string
		properties map[string]any
		want       *actionv1.ServiceState
	}{
		{"running", unit("loaded", "active", 7, 0, 0), &actionv1.ServiceState{Status: actionv1.ServiceStatus_SERVICE_STATUS_RUNNING, Pid: 7}},
		{"waits for its restart", unit("loaded", "activating", 0, 1, 3), &actionv1.ServiceState{
			Status: actionv1.ServiceStatus_SERVICE_STATUS_STARTING, ExitCode: 3,
		}},
		{"stopping", unit("loaded", "deactivating", 7, 0, 0), &actionv1.ServiceState{Status: actionv1.ServiceStatus_SERVICE_STATUS_STOPPING, Pid: 7}},
		{"failed", unit("loaded", "failed", 0, 1, 7), &actionv1.ServiceState{Status: actionv1.ServiceStatus_SERVICE_STATUS_STOPPED, ExitCode: 7}},
		{"killed", unit("loaded", "failed", 0, 2, 9), &actionv1.ServiceState{Status: actionv1.ServiceStatus_SERVICE_STATUS_STOPPED, ExitCode: 137}},
		{"masked", unit("masked", "inactive", 0, 0, 0), &actionv1.ServiceState{
			Status: actionv1.ServiceStatus_SERVICE_STATUS_STOPPED, Disabled: true,
		}},
	} {
		c.want.Service, c.want.Key, c.want.Installed = "Display", "unit.service", true
		got, err := unitState("Display", "unit.service", c.properties)
		if diff := cmp.Diff(c.want, got, protocmp.Transform()); err != nil || diff != "" {
			t.Errorf("%s: unitState = %v (-want +got):\n%s", c.name, err, diff)
		}
	}
	if _, err := unitState("Display", "unit.service", unit("not-found", "inactive", 0, 0, 0)); !isNotInstalled(err) {
		t.Errorf("unitState of a unit without a file = %v, want ErrNotInstalled", err)
	}
}

func TestUnitsDescribed(t *testing.T) {
	folder := t.TempDir()
	writeTree(t, folder, map[string]string{
		"nbed.service":   "[Unit]\nDescription=Nymi Bluetooth Endpoint\n[Service]\nExecStart=/usr/bin/nbed -f\n",
		"other.service":  "[Unit]\nDescription=Nymi Bluetooth Endpoint Helper\n",
		"nbed@.service":  "[Unit]\nDescription=Nymi Bluetooth Endpoint\n",
		"second.service": "[Unit]\nDescription=First\nDescription=Nymi\nDescription = Last\n",
	})
	var files []dbus.UnitFile
	for _, name := range []string{"nbed.service", "other.service", "nbed@.service", "second.service", "gone.service"} {
		files = append(files, dbus.UnitFile{Path: filepath.Join(folder, name), Type: "disabled"})
	}
	for _, c := range []struct {
		name string
		want []string
	}{
		{"Nymi Bluetooth Endpoint", []string{"nbed.service"}},
		{"Last", []string{"second.service"}},
		{"First", nil},
	} {
		if got := unitsDescribed(files, c.name); !cmp.Equal(got, c.want) {
			t.Errorf("unitsDescribed(%q) = %q, want %q: the whole description counts, and templates are no services", c.name, got, c.want)
		}
	}
}
