package host

import (
	"context"
	"fmt"
	"slices"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// What the implementations of Devices share.

// problemDisabled is Windows' problem code of a disabled device (CM_PROB_DISABLED).
const problemDisabled = 22

// checkInstance refuses an instance that is not among the present devices with the ids that it must have.
func checkInstance(found *actionv1.DeviceState, instance, vendor, product string) error {
	if instanceOf(found, instance) == nil {
		return fmt.Errorf("device %q: no such device with the USB ids %s:%s: %w", instance, vendor, product, ErrNotExist)
	}
	return nil
}

func instanceOf(found *actionv1.DeviceState, instance string) *actionv1.Device {
	at := slices.IndexFunc(found.GetDevices(), func(d *actionv1.Device) bool { return d.GetInstance() == instance })
	if at < 0 {
		return nil
	}
	return found.GetDevices()[at]
}

// awaitDevice waits until a device is as it was set. It may be away for a moment when it is enabled.
func awaitDevice(ctx context.Context, devices Devices, instance, vendor, product string, enabled bool) error {
	const interval = 200 * time.Millisecond
	err := Poll(ctx, interval, func() (bool, error) {
		found, err := devices.USB(ctx, vendor, product)
		device := instanceOf(found, instance)
		return device != nil && device.GetDisabled() != enabled, err
	})
	if err != nil {
		return fmt.Errorf("device %q: %w", instance, err)
	}
	return nil
}
