package sim

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	adapterFile     = "adapter.json"
	adapterInstance = `USB\VID_2458&PID_0001\SIMULATED`
)

// States of the adapter, as `fleet-agent sim set` writes them.
const (
	adapterPresent  = "present"
	adapterAbsent   = "absent"
	adapterStuck    = "stuck"    // problem code 43, until it is disabled and enabled again
	adapterBroken   = "broken"   // problem code 10, whatever is done
	adapterSeveral  = "several"  // two of them
	adapterUpdating = "updating" // as after a firmware update that was cut off: another class, no port
	adapterSwapped  = "swapped"  // another one is plugged in, which works
)

// Problem codes of Windows.
const (
	problemCannotStart = 10
	problemDisabled    = 22
	problemReported    = 43
)

// adapterRecord is the BLED112 adapter.
type adapterRecord struct {
	Present  bool `json:"present"`
	Disabled bool `json:"disabled,omitempty"`
	// Fault is adapterStuck, adapterBroken, adapterUpdating, adapterSeveral, or empty.
	Fault string `json:"fault,omitempty"`
	// Swaps is how often another adapter was plugged in.
	Swaps int `json:"swaps,omitempty"`
}

// state is the record in the words of `fleet-agent sim`.
func (r adapterRecord) state() string {
	switch {
	case !r.Present:
		return adapterAbsent
	case r.Disabled:
		return "disabled"
	case r.Fault != "":
		return r.Fault
	}
	return adapterPresent
}

func (t *terminal) adapter() (adapterRecord, error) {
	return readRecord[adapterRecord](t, adapterFile)
}

func (t *terminal) setAdapter(r adapterRecord) error {
	return writeJSON(filepath.Join(t.dir, adapterFile), r)
}

// plugAdapter has the adapter be in a state.
func (t *terminal) plugAdapter(ctx context.Context, value string) error {
	record := adapterRecord{Present: true}
	switch value {
	case adapterPresent, adapterSwapped:
	case adapterAbsent:
		record.Present = false
	case adapterStuck, adapterBroken, adapterUpdating, adapterSeveral:
		record.Fault = value
	default:
		return fmt.Errorf("adapter: %q: use %s, %s or %s, or %s, %s, %s or %s for what may go wrong with it",
			value, adapterPresent, adapterAbsent, adapterSwapped, adapterStuck, adapterBroken, adapterUpdating, adapterSeveral)
	}
	return t.exclusively(ctx, func() error {
		before, err := t.adapter()
		if err != nil {
			return err
		}
		if record.Swaps = before.Swaps; value == adapterSwapped {
			record.Swaps++
		}
		return t.setAdapter(record)
	})
}

// devices is a simulated terminal's host.Devices.
type devices struct{ *terminal }

// USB implements host.Devices.
func (v devices) USB(_ context.Context, vendor, product string) (*actionv1.DeviceState, error) {
	record, err := v.adapter()
	if err != nil {
		return nil, fmt.Errorf("usb devices %s:%s: %w", vendor, product, err)
	}
	if !record.Present || vendor != host.AdapterVendor || product != host.AdapterProduct {
		return &actionv1.DeviceState{}, nil
	}
	found := &actionv1.DeviceState{Devices: []*actionv1.Device{record.device()}}
	if record.Fault == adapterSeveral {
		second := record.device()
		second.Instance, second.Name, second.Port = adapterInstance+"2", "Bluegiga Bluetooth Low Energy (COM4)", "COM4"
		found.Devices = append(found.Devices, second)
	}
	return found, nil
}

// instance tells this adapter from the ones before it.
func (r adapterRecord) instance() string {
	if r.Swaps == 0 {
		return adapterInstance
	}
	return fmt.Sprintf("%s-%d", adapterInstance, r.Swaps+1)
}

// device is the adapter as Windows shows it.
func (r adapterRecord) device() *actionv1.Device {
	d := &actionv1.Device{
		Instance: r.instance(), Name: "Bluegiga Bluetooth Low Energy (COM3)", Port: "COM3", Class: "Ports", Disabled: r.Disabled,
	}
	switch {
	case r.Disabled:
		d.ProblemCode, d.Port = problemDisabled, ""
	case r.Fault == adapterStuck:
		d.ProblemCode = problemReported
	case r.Fault == adapterBroken:
		d.ProblemCode, d.Port = problemCannotStart, ""
	case r.Fault == adapterUpdating:
		d.Name, d.Class, d.Port = "Bluegiga Bluetooth Low Energy", "USB", ""
	}
	return d
}

// SetEnabled implements host.Devices.
func (v devices) SetEnabled(ctx context.Context, instance, vendor, product string, enabled bool) error {
	if vendor != host.AdapterVendor || product != host.AdapterProduct {
		return fmt.Errorf("device %q with USB ids %s:%s: %w", instance, vendor, product, host.ErrNotExist)
	}
	err := changeRecord(ctx, v.terminal, adapterFile, func(r *adapterRecord) error {
		if !r.Present || !strings.EqualFold(instance, r.instance()) {
			return host.ErrNotExist
		}
		if enabled && r.Disabled && r.Fault == adapterStuck {
			r.Fault = ""
		}
		r.Disabled = !enabled
		return nil
	})
	if err != nil {
		return fmt.Errorf("device %q: %w", instance, err)
	}
	return nil
}
