package host

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/windows"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Watch implements Services. It polls through one connection to the service control manager and one handle a service:
// NotifyServiceStatusChange tells neither of the end of a process that the manager has not noticed nor of a change of the start type, and is not
// everywhere.
func (s *scmServices) Watch(ctx context.Context, names []string, changed func(*actionv1.ServiceState)) error {
	manager, err := s.calls.connect()
	if err != nil {
		return err
	}
	w := &scmWatch{services: s, manager: manager, open: map[string]*scmService{}}
	defer w.close()
	return WatchByPolling(ctx, WatchInterval, names, nil, w.state, changed)
}

// scmWatch holds what is open while services are watched.
type scmWatch struct {
	services *scmServices
	manager  windows.Handle
	open     map[string]*scmService
}

func (w *scmWatch) close() {
	for _, service := range w.open {
		w.services.calls.close(service.Handle)
	}
	w.services.calls.close(w.manager)
}

// state reads a service by its handle. One that is marked for deletion goes away only when its handles are closed, and may be installed anew:
// so a handle that is of no more use is closed, and the service looked for again.
func (w *scmWatch) state(ctx context.Context, name string) (*actionv1.ServiceState, error) {
	service, err := w.service(name)
	if errors.Is(err, ErrNotInstalled) {
		return &actionv1.ServiceState{Service: name}, nil
	}
	if err != nil {
		return nil, ServiceError(name, err)
	}
	state, err := service.state()
	if err != nil || w.deleted(service, state) {
		w.forget(name)
		return w.services.State(ctx, name)
	}
	return state, nil
}

// deleted says whether a service that does not run is about to go away: it cannot be opened for a change any more.
func (w *scmWatch) deleted(service *scmService, state *actionv1.ServiceState) bool {
	if state.GetStatus() != actionv1.ServiceStatus_SERVICE_STATUS_STOPPED {
		return false
	}
	again, err := w.services.calls.open(w.manager, service.name, service.Name, rightsToRead)
	if err != nil {
		return true
	}
	w.services.calls.close(again.Handle)
	return false
}

func (w *scmWatch) service(name string) (*scmService, error) {
	if service := w.open[name]; service != nil {
		return service, nil
	}
	key, err := w.services.find(w.manager, name)
	if err != nil {
		return nil, lost(err)
	}
	service, err := w.services.calls.open(w.manager, name, key, rightsToRead)
	if err == nil {
		w.open[name] = service
	}
	return service, lost(err)
}

// lost has a watch end whose connection is of no more use: else a service would not be watched any more while others still are.
func lost(err error) error {
	if errors.Is(err, windows.ERROR_INVALID_HANDLE) {
		return fmt.Errorf("%w: %w", errWatchLost, err)
	}
	return err
}

func (w *scmWatch) forget(name string) {
	w.services.calls.close(w.open[name].Handle)
	delete(w.open, name)
}
