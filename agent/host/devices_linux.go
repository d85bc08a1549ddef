package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

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
		described.ProblemCode, described.Disabled = problemDisabled, true
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

// SetEnabled implements Devices. The kernel takes a device's drivers away when it is no longer authorized (sysfs-bus-usb), and it is
// authorized again after the next start of the machine.
func (d sysfsDevices) SetEnabled(ctx context.Context, instance, vendor, product string, enabled bool) error {
	found, err := d.USB(ctx, vendor, product)
	if err != nil {
		return err
	}
	if err := checkInstance(found, instance, vendor, product); err != nil {
		return err
	}
	value := "0"
	if enabled {
		value = "1"
	}
	if err := os.WriteFile(filepath.Join(d.folder, instance, "authorized"), []byte(value), 0); err != nil {
		return fmt.Errorf("device %q: %w", instance, err)
	}
	return awaitDevice(ctx, d, instance, vendor, product, enabled)
}
