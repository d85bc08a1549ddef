package runner

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	// deviceWait is how long a device that is to be enabled again may take to show up: one that was reset is away for a moment.
	deviceWait = 10 * time.Second
	// enableTimeout bounds an attempt to enable one.
	enableTimeout = 30 * time.Second
)

// deviceDeed enables or disables a device. It is put back by having a device that worked before be enabled, whoever disabled it: nobody at
// a terminal without its adapter can work.
type deviceDeed struct {
	work
	e *actionv1.DeviceSet
}

func (d deviceDeed) resource() string          { return fmt.Sprintf("device %q", d.e.GetInstance()) }
func (d deviceDeed) timeout() time.Duration    { return d.e.GetTimeout().AsDuration() }
func (d deviceDeed) inverse() actionv1.Inverse { return actionv1.Inverse_INVERSE_COMPENSATING }

func (d deviceDeed) check(*actionv1.Action) error {
	if err := checkUSB(d.e.GetVendor(), d.e.GetProduct()); err != nil {
		return err
	}
	return checkNamed("device", d.e.GetInstance())
}

// read returns the device. One that is not there has nothing but its instance.
func (d deviceDeed) read(ctx context.Context) (*actionv1.State, error) {
	all, err := d.r.host.Devices.USB(ctx, d.e.GetVendor(), d.e.GetProduct())
	if err != nil {
		return nil, err
	}
	found := &actionv1.Device{Instance: d.e.GetInstance()}
	for _, one := range all.GetDevices() {
		if one.GetInstance() == d.e.GetInstance() {
			found = one
		}
	}
	return &actionv1.State{State: &actionv1.State_Device{Device: found}}, nil
}

// isThere says whether a device was found: then more than its instance is known.
func isThere(d *actionv1.Device) bool {
	return !proto.Equal(d, &actionv1.Device{Instance: d.GetInstance()})
}

func (d deviceDeed) do(ctx context.Context, before *actionv1.State) (*actionv1.State, error) {
	if !isThere(before.GetDevice()) {
		return nil, fmt.Errorf("%s: is not there; plug it in, then ask again", d.resource())
	}
	return nil, d.r.host.Devices.SetEnabled(ctx, d.e.GetInstance(), d.e.GetVendor(), d.e.GetProduct(), d.e.GetEnabled())
}

func (d deviceDeed) reached(now *actionv1.State) error {
	switch s := now.GetDevice(); {
	case d.e.GetEnabled() && !isThere(s):
		return fmt.Errorf("%s: is not there", d.resource())
	case s.GetDisabled() == d.e.GetEnabled() && isThere(s):
		return fmt.Errorf("%s: is %s", d.resource(), enabledName(!s.GetDisabled()))
	}
	return nil
}

func enabledName(enabled bool) string {
	if enabled {
		return "enabled"
	}
	return "disabled"
}

func (d deviceDeed) restore(ctx context.Context, t touch) *actionv1.Undo {
	if first := t.first.GetDevice(); !isThere(first) || first.GetDisabled() {
		return &actionv1.Undo{Outcome: actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED, Reason: "it was not enabled before"}
	}
	now, err := d.shown(ctx)
	u := &actionv1.Undo{State: now}
	switch {
	case err != nil:
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION, fmt.Sprintf("its state cannot be read: %v", err)
	case !isThere(now.GetDevice()):
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION, "it is not there; plug it in"
	case !now.GetDevice().GetDisabled():
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED, "it is enabled"
	default:
		d.enableAgain(ctx, u)
	}
	return u
}

// shown reads the device once it is there, or as it is after deviceWait.
func (d deviceDeed) shown(ctx context.Context) (*actionv1.State, error) {
	until := time.Now().Add(deviceWait)
	for {
		now, err := look(ctx, d)
		if err != nil || isThere(now.GetDevice()) || !time.Now().Before(until) {
			return now, err
		}
		if err := sleep(ctx, watchEvery); err != nil {
			return nil, err
		}
	}
}

func (d deviceDeed) enableAgain(ctx context.Context, u *actionv1.Undo) {
	limited, cancel := context.WithTimeout(ctx, enableTimeout)
	defer cancel()
	_, err := contained(func() (struct{}, error) {
		return struct{}{}, d.r.host.Devices.SetEnabled(limited, d.e.GetInstance(), d.e.GetVendor(), d.e.GetProduct(), true)
	})
	now, readErr := d.shown(ctx)
	u.Outcome = actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION
	switch {
	case readErr != nil:
		u.Reason = fmt.Sprintf("its state cannot be read: %v", readErr)
		return
	case isThere(now.GetDevice()) && !now.GetDevice().GetDisabled():
		u.Outcome = actionv1.UndoOutcome_UNDO_OUTCOME_DONE
	case err != nil:
		u.Reason = err.Error()
	default:
		u.Reason = "it is not enabled right after it was enabled"
	}
	u.State = now
}
