package sim

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"strings"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	adapterFile  = "adapter.json"
	registryFile = "registry.json"
)

// adapterRecord is the BLED112 adapter.
type adapterRecord struct {
	Present bool `json:"present"`
}

// adapter reads whether the adapter is plugged in.
func (t *terminal) adapter() (bool, error) {
	var record adapterRecord
	err := readJSON(filepath.Join(t.dir, adapterFile), &record)
	return record.Present, err
}

func (t *terminal) setAdapter(present bool) error {
	return writeJSON(filepath.Join(t.dir, adapterFile), adapterRecord{Present: present})
}

// devices is a simulated terminal's host.Devices.
type devices struct{ *terminal }

// USB implements host.Devices.
func (v devices) USB(_ context.Context, vendor, product string) (*actionv1.DeviceState, error) {
	present, err := v.adapter()
	if err != nil {
		return nil, fmt.Errorf("usb devices %s:%s: %w", vendor, product, err)
	}
	if !present || vendor != host.AdapterVendor || product != host.AdapterProduct {
		return &actionv1.DeviceState{}, nil
	}
	return &actionv1.DeviceState{Devices: []*actionv1.Device{{
		Instance: `USB\VID_2458&PID_0001\SIMULATED`, Name: "Bluegiga Bluetooth Low Energy (COM3)", Port: "COM3",
	}}}, nil
}

// registry is a simulated terminal's host.Registry: a file of values by lower-case name, since names are found in any case.
type registry struct{ *terminal }

// Get implements host.Registry.
func (v registry) Get(_ context.Context, key, value string) (string, error) {
	values, err := v.values()
	if err != nil {
		return "", registryError(key, value, err)
	}
	data, ok := values[registryName(key, value)]
	if !ok {
		return "", registryError(key, value, host.ErrNotExist)
	}
	return data, nil
}

// Set implements host.Registry.
func (v registry) Set(ctx context.Context, key, value, data string) error {
	err := v.change(ctx, func(values map[string]string) error {
		values[registryName(key, value)] = data
		return nil
	})
	return registryError(key, value, err)
}

// Delete implements host.Registry.
func (v registry) Delete(ctx context.Context, key, value string) error {
	err := v.change(ctx, func(values map[string]string) error {
		name := registryName(key, value)
		if _, ok := values[name]; !ok {
			return host.ErrNotExist
		}
		delete(values, name)
		return nil
	})
	return registryError(key, value, err)
}

func (v registry) values() (map[string]string, error) {
	values := map[string]string{}
	err := readJSON(filepath.Join(v.dir, registryFile), &values)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return values, err
}

// change lets do change the values and stores them, when it changed any.
func (v registry) change(ctx context.Context, do func(map[string]string) error) error {
	return v.exclusively(ctx, func() error {
		values, err := v.values()
		if err != nil {
			return err
		}
		before := maps.Clone(values)
		if err := do(values); err != nil || maps.Equal(before, values) {
			return err
		}
		return writeJSON(filepath.Join(v.dir, registryFile), values)
	})
}

func registryName(key, value string) string {
	return strings.ToLower(key) + ` @ ` + strings.ToLower(value)
}

func registryError(key, value string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("registry value %q of %q: %w", value, key, err)
}

// SetEnabled implements host.Devices.
func (devices) SetEnabled(_ context.Context, instance, _, _ string, _ bool) error {
	return fmt.Errorf("device %q: %w", instance, host.ErrNotSupported)
}

// Levels implements host.Registry.
func (registry) Levels(context.Context, string) (uint32, error) {
	return 0, fmt.Errorf("registry: %w", host.ErrNotSupported)
}

// Prune implements host.Registry.
func (registry) Prune(context.Context, string, uint32) error {
	return fmt.Errorf("registry: %w", host.ErrNotSupported)
}

// View32 implements host.Registry.
func (r registry) View32() host.Registry { return r }
