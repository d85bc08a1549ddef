package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
)

const (
	// systemdPoll is how often a unit's state is read while waiting for it.
	systemdPoll = 100 * time.Millisecond
	// systemdSettle is how long a started unit must stay up before Start says that it runs: of a unit of Type=simple,
	// systemd says so before the program has even been loaded.
	systemdSettle = 300 * time.Millisecond
)

// systemdServices controls systemd units over D-Bus. A connection serves one call: calls are rare, and so a restart of the
// bus or of systemd itself harms only the calls of that moment.
type systemdServices struct {
	// units are the configured units by display name.
	units map[string]string
	mu    sync.Mutex
	// found are units found by description, by display name: looking through all units takes systemd some work, and a
	// service that is watched is asked for several times a second.
	found map[string]string
}

// State implements Services.
func (s *systemdServices) State(ctx context.Context, name string) (*actionv1.ServiceState, error) {
	state := &actionv1.ServiceState{Service: name}
	err := s.with(ctx, name, func(u *systemdUnit) (err error) {
		state, err = u.state(ctx)
		return err
	})
	if isNotInstalled(err) {
		return state, nil
	}
	return state, err
}

// Stop implements Services.
func (s *systemdServices) Stop(ctx context.Context, name string) error {
	return s.with(ctx, name, func(u *systemdUnit) error {
		state, err := u.state(ctx)
		if err != nil || state.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_STOPPED {
			return err
		}
		return u.stop(ctx)
	})
}

// Start implements Services.
func (s *systemdServices) Start(ctx context.Context, name string) error {
	return s.with(ctx, name, func(u *systemdUnit) error {
		state, err := u.state(ctx)
		switch {
		case err != nil:
			return err
		case state.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_RUNNING:
			return nil
		case state.GetDisabled():
			return ErrDisabled
		}
		return u.start(ctx)
	})
}

// Kill implements Services. A unit that systemd would start again (Restart=) is told to stop as well, so that it stays
// stopped.
func (s *systemdServices) Kill(ctx context.Context, name string, pid uint32) error {
	return s.with(ctx, name, func(u *systemdUnit) error {
		state, err := u.state(ctx)
		if err != nil || state.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_STOPPED {
			return err
		}
		err = EndProcess(pid, func() (uint32, error) {
			state, err := u.state(ctx)
			return state.GetPid(), err
		})
		if err != nil {
			return err
		}
		return u.stop(ctx)
	})
}

// with connects, finds the unit of the display name and hands it to do. Errors name the service.
func (s *systemdServices) with(ctx context.Context, name string, do func(*systemdUnit) error) error {
	conn, err := dbus.NewWithContext(ctx)
	if err != nil {
		return ServiceError(name, fmt.Errorf("systemd does not answer: %w", err))
	}
	defer conn.Close()
	err = s.onUnit(ctx, conn, name, do)
	if errors.Is(err, godbus.ErrClosed) && ctx.Err() != nil {
		err = WaitError(ctx) // the connection ends with ctx
	}
	return ServiceError(name, whileWaiting(ctx, err))
}

// onUnit hands do the unit of a display name. One that was found before and is no longer that service is looked for again.
func (s *systemdServices) onUnit(ctx context.Context, conn *dbus.Conn, name string, do func(*systemdUnit) error) error {
	key, again := s.remembered(name)
	if again {
		err := do(&systemdUnit{conn: conn, name: name, key: key})
		if !errors.Is(err, ErrNotInstalled) {
			return err
		}
	}
	unit, err := s.find(ctx, conn, name)
	if err != nil {
		return err
	}
	return do(unit)
}

func (s *systemdServices) remembered(name string) (key string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, ok = s.found[name]
	return key, ok
}

func (s *systemdServices) remember(name, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.found == nil {
		s.found = map[string]string{}
	}
	s.found[name] = key
}
