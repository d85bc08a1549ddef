package hosttest

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Problem codes of Windows.
const (
	problemCannotStart = 10
	problemDisabled    = 22
)

// DeviceScript is how a device answers when it is enabled. The zero DeviceScript is a device that works again at once.
type DeviceScript struct {
	// Takes is how long enabling and disabling last.
	Takes time.Duration
	// StaysBroken: enabled, it has problem code 10 and no port.
	StaysBroken bool
	// Refuses: it can be neither enabled nor disabled.
	Refuses bool
}

// ScriptDevice has the device of this instance behave so from now on.
func (m *Memory) ScriptDevice(instance string, script DeviceScript) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.scripts[instance] = script
}

// SetAdapters has that many healthy BLED112 adapters be present.
func (m *Memory) SetAdapters(count int) {
	var adapters []*actionv1.Device
	for i := range count {
		port := fmt.Sprintf("COM%d", i+3)
		adapters = append(adapters, &actionv1.Device{
			Instance: fmt.Sprintf(`USB\VID_2458&PID_0001\%d`, i+1),
			Name:     "Bluegiga Bluetooth Low Energy (" + port + ")",
			Port:     port,
			Class:    "Ports",
		})
	}
	m.SetDevices(host.AdapterVendor, host.AdapterProduct, adapters...)
}

// SetDevices has exactly these USB devices of one vendor and product be present.
func (m *Memory) SetDevices(vendor, product string, devices ...*actionv1.Device) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.devices[vendor+":"+product] = devices
	for _, d := range devices {
		if d.GetPort() != "" {
			m.ports[d.GetInstance()] = d.GetPort()
		}
	}
}

// memoryDevices is Memory's host.Devices.
type memoryDevices struct{ m *Memory }

// USB implements host.Devices.
func (v memoryDevices) USB(_ context.Context, vendor, product string) (*actionv1.DeviceState, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	state := &actionv1.DeviceState{Devices: v.m.devices[vendor+":"+product]}
	return proto.CloneOf(state), nil
}

// SetEnabled implements host.Devices. A device that is disabled has problem code 22 and no port.
func (v memoryDevices) SetEnabled(ctx context.Context, instance, vendor, product string, enabled bool) error {
	verb := "disable"
	if enabled {
		verb = "enable"
	}
	if err := v.m.mutating(verb, instance); err != nil {
		return err
	}
	v.m.mu.Lock()
	script := v.m.scripts[instance]
	v.m.mu.Unlock()
	timer := time.NewTimer(script.Takes)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("device %q: %w", instance, host.WaitError(ctx))
	case <-timer.C:
	}
	return v.set(instance, vendor, product, enabled, script)
}

func (v memoryDevices) set(instance, vendor, product string, enabled bool, script DeviceScript) error {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	for _, d := range v.m.devices[vendor+":"+product] {
		switch {
		case d.GetInstance() != instance:
			continue
		case script.Refuses:
			return fmt.Errorf("device %q: access is denied", instance)
		case d.GetDisabled() != enabled: // it is as wanted already
			return nil
		case !enabled:
			d.Disabled, d.ProblemCode, d.Port = true, problemDisabled, ""
		case script.StaysBroken:
			d.Disabled, d.ProblemCode = false, problemCannotStart
		default:
			d.Disabled, d.ProblemCode, d.Port = false, 0, v.m.ports[instance]
		}
		return nil
	}
	return fmt.Errorf("device %q with USB ids %s:%s: %w", instance, vendor, product, host.ErrNotExist)
}
