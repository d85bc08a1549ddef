package host

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// systemdWatchPoll is how often units are read although systemd tells of changes: what is masked or removed is not told of a unit that is not
// loaded.
const systemdWatchPoll = 30 * time.Second

// Watch implements Services. systemd tells of changes over D-Bus; while it cannot, units are read every few seconds.
func (s *systemdServices) Watch(ctx context.Context, names []string, changed func(*actionv1.ServiceState)) error {
	conn, err := dbus.NewWithContext(ctx)
	if err != nil {
		return WatchByPolling(ctx, WatchInterval, names, nil, s.State, changed)
	}
	defer conn.Close()
	if err := conn.Subscribe(); err != nil {
		return WatchByPolling(ctx, WatchInterval, names, nil, s.State, changed)
	}
	updates, failures := make(chan *dbus.PropertiesUpdate, 64), make(chan error, 1)
	conn.SetPropertiesSubscriber(updates, failures)
	w := systemdWatch{services: s, conn: conn, names: names, woken: make(chan struct{}, 1)}
	listening, end := context.WithCancel(ctx)
	defer end()
	go w.listen(listening, updates, failures)
	return WatchByPolling(ctx, systemdWatchPoll, names, w.woken, w.state, changed)
}

// systemdWatch is a watch on an open connection.
type systemdWatch struct {
	services *systemdServices
	conn     *dbus.Conn
	names    []string
	woken    chan struct{}
}

// listen wakes the watch when one of its units has changed, or the connection is lost. Of several changes at once, one turn is enough.
func (w systemdWatch) listen(ctx context.Context, updates <-chan *dbus.PropertiesUpdate, failures <-chan error) {
	ticker := time.NewTicker(WatchInterval)
	defer ticker.Stop()
	for {
		var wake bool
		select {
		case <-ctx.Done():
			return
		case update := <-updates:
			wake = w.concerns(update.UnitName)
		case err := <-failures: // some were lost
			wake = err != nil
		case <-ticker.C:
			wake = !w.conn.Connected()
		}
		if !wake {
			continue
		}
		select {
		case w.woken <- struct{}{}:
		default:
		}
	}
}

// concerns says whether a unit may be one of those that are watched. While one of them has not been found, any may be it.
func (w systemdWatch) concerns(unit string) bool {
	for _, name := range w.names {
		key, found := w.services.units[name]
		if !found {
			key, found = w.services.remembered(name)
		}
		if !found || key == unit {
			return true
		}
	}
	return false
}

// state reads a unit on the open connection, and on one of its own when that is broken.
func (w systemdWatch) state(ctx context.Context, name string) (*actionv1.ServiceState, error) {
	if !w.conn.Connected() {
		return nil, ServiceError(name, errWatchLost)
	}
	state := &actionv1.ServiceState{Service: name}
	err := w.services.onUnit(ctx, w.conn, name, func(u *systemdUnit) (err error) {
		state, err = u.state(ctx)
		return err
	})
	if isNotInstalled(err) {
		return &actionv1.ServiceState{Service: name}, nil
	}
	return state, ServiceError(name, err)
}
