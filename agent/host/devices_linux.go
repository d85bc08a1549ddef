package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// problemDisabled is Windows' problem code of a disabled device (CM_PROB_DISABLED).
const problemDisabled = 22

// sysfsDevices reads USB devices from the kernel's tree; folder is /sys/bus/usb/devices.
type sysfsDevices struct {
	folder string
}

// USB implements Devices. A machine without USB has no such folder and no devices.
func (d sysfsDevices) USB(_ context.Context, vendor, product string) (*actionv1.DeviceState, error) {
	vendorFiles, err := filepath.Glob(filepath.Join(d.folder, "*", "idVendor"))
	if err != nil {
		return nil, fmt.Errorf("usb devices %s:%s: %w", vendor, product, err)
	}
	state := &actionv1.DeviceState{}
	for _, file := range vendorFiles {
		device := filepath.Dir(file)
		// A device that is pulled out meanwhile has no attributes, so it does not match.
		if sysfsText(device, "idVendor") == vendor && sysfsText(device, "idProduct") == product {
			state.Devices = append(state.Devices, describeSysfs(device))
		}
	}
	return state, nil
}

func describeSysfs(device string) *actionv1.Device {
	described := &actionv1.Device{
		Instance: filepath.Base(device),
		Name:     strings.TrimSpace(sysfsText(device, "manufacturer") + " " + sysfsText(device, "product")),
		Port:     sysfsPort(device),
	}
	if sysfsText(device, "authorized") == "0" {
		described.ProblemCode = problemDisabled
	}
	return described
}

// sysfsPort finds the serial port of a device below its interfaces: tty/ttyACM0 (CDC) or ttyUSB0 (converters).
func sysfsPort(device string) string {
	interfaces := filepath.Join(device, filepath.Base(device)+":*")
	for _, pattern := range []string{filepath.Join(interfaces, "tty", "tty*"), filepath.Join(interfaces, "ttyUSB*")} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return "/dev/" + filepath.Base(found[0])
		}
	}
	return ""
}

// sysfsText reads an attribute; empty when it is not there.
func sysfsText(device, attribute string) string {
	content, err := os.ReadFile(filepath.Join(device, attribute))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

// SetEnabled implements Devices.
func (sysfsDevices) SetEnabled(_ context.Context, instance, _, _ string, _ bool) error {
	return fmt.Errorf("device %q: %w", instance, ErrNotSupported)
}
