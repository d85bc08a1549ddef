package host

import (
	"context"
	"errors"
	"fmt"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/coreos/go-systemd/v22/dbus"
)

// systemdUnit is one service unit on an open connection.
type systemdUnit struct {
	conn *dbus.Conn
	// name is the display name, key the unit's ("nbed.service").
	name, key string
	// configured: the unit is this service whatever its description says.
	configured bool
}

// state reads the unit. A unit that systemd does not know is ErrNotInstalled.
func (u *systemdUnit) state(ctx context.Context) (*actionv1.ServiceState, error) {
	properties, err := u.conn.GetAllPropertiesContext(ctx, u.key)
	if err != nil {
		return nil, err
	}
	// A masked unit has lost its description.
	if description, _ := properties["Description"].(string); !u.configured && properties["LoadState"] == "loaded" && description != u.name {
		return nil, ErrNotInstalled
	}
	return unitState(u.name, u.key, properties)
}

// unitState reads what systemd says of a unit.
func unitState(name, key string, properties map[string]any) (*actionv1.ServiceState, error) {
	load, _ := properties["LoadState"].(string)
	if load == "not-found" {
		return nil, ErrNotInstalled
	}
	active, _ := properties["ActiveState"].(string)
	state := &actionv1.ServiceState{
		Service:   name,
		Installed: true,
		Key:       key,
		Status:    unitStatus(active),
		// "disabled" of a unit file only means that boot does not start it; masked is what keeps it from ever starting.
		Disabled: load == "masked",
		ExitCode: unitExitCode(properties),
	}
	if state.GetStatus() != actionv1.ServiceStatus_SERVICE_STATUS_STOPPED {
		state.Pid, _ = properties["MainPID"].(uint32)
	}
	return state, nil
}

// unitStatus maps a unit's ActiveState (org.freedesktop.systemd1). A unit that waits for its automatic restart is
// "activating".
func unitStatus(active string) actionv1.ServiceStatus {
	switch active {
	case "active", "reloading", "refreshing":
		return actionv1.ServiceStatus_SERVICE_STATUS_RUNNING
	case "activating":
		return actionv1.ServiceStatus_SERVICE_STATUS_STARTING
	case "deactivating":
		return actionv1.ServiceStatus_SERVICE_STATUS_STOPPING
	}
	return actionv1.ServiceStatus_SERVICE_STATUS_STOPPED // inactive, failed, maintenance
}

// unitExitCode is the exit status of the main process's last end, 128 + the signal's number when a signal ended it.
func unitExitCode(properties map[string]any) int64 {
	const exited = 1 // CLD_EXITED of waitid(2); the others are ends by signal
	code, _ := properties["ExecMainCode"].(int32)
	status, _ := properties["ExecMainStatus"].(int32)
	if code > exited {
		return 128 + int64(status)
	}
	return int64(status)
}

// stop asks for the unit's stop and waits until it is stopped.
func (u *systemdUnit) stop(ctx context.Context) error {
	if err := u.job(ctx, u.conn.StopUnitContext); err != nil {
		return err
	}
	return Poll(ctx, systemdPoll, func() (bool, error) {
		state, err := u.state(ctx)
		return state.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_STOPPED, err
	})
}

// start asks for the unit's start and waits until it has run for systemdSettle.
func (u *systemdUnit) start(ctx context.Context) error {
	// Earlier failures must not use up the unit's limit of starts. It is no failure when there is nothing to forget.
	_ = u.conn.ResetFailedUnitContext(ctx, u.key)
	if err := u.job(ctx, u.conn.StartUnitContext); err != nil {
		return u.explain(ctx, err)
	}
	checks := int(systemdSettle / systemdPoll)
	return Poll(ctx, systemdPoll, func() (bool, error) {
		state, err := u.state(ctx)
		if err == nil && state.GetStatus() != actionv1.ServiceStatus_SERVICE_STATUS_RUNNING {
			err = EndedError(state.GetExitCode())
		}
		checks--
		return checks < 0, err
	})
}

// errJobFailed: systemd did not carry out what it was asked for.
var errJobFailed = errors.New("systemd's job came to nothing")

// job queues a job of systemd and waits for its end.
func (u *systemdUnit) job(ctx context.Context, queue func(context.Context, string, string, chan<- string) (int, error)) error {
	ended := make(chan string, 1)
	if _, err := queue(ctx, u.key, "replace", ended); err != nil {
		return err
	}
	select {
	case result := <-ended:
		if result != "done" {
			return fmt.Errorf("%w: %s", errJobFailed, result)
		}
		return nil
	case <-ctx.Done():
		return WaitError(ctx)
	}
}

// explain turns a start that failed because the process ended into an error with its exit code.
func (u *systemdUnit) explain(ctx context.Context, cause error) error {
	if !errors.Is(cause, errJobFailed) {
		return cause
	}
	state, err := u.state(ctx)
	if err != nil || state.GetExitCode() == 0 {
		return cause // another reason: a dependency, a condition, systemd's own limit
	}
	return fmt.Errorf("%w (%w)", EndedError(state.GetExitCode()), cause)
}
