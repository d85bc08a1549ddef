package host

import (
	"context"
	"errors"
	"syscall"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
)

// Rights to a service, no more than each call needs.
const (
	rightsToRead  = windows.SERVICE_QUERY_STATUS | windows.SERVICE_QUERY_CONFIG
	rightsToStop  = rightsToRead | windows.SERVICE_STOP | windows.SERVICE_ENUMERATE_DEPENDENTS
	rightsToStart = rightsToRead | windows.SERVICE_START | windows.SERVICE_PAUSE_CONTINUE
)

// scmServices controls services through the Windows service control manager.
type scmServices struct {
	// keys are the configured service names by display name.
	keys  map[string]string
	calls scmCalls
}

// State implements Services.
func (s *scmServices) State(ctx context.Context, name string) (*actionv1.ServiceState, error) {
	state := &actionv1.ServiceState{Service: name}
	err := s.with(ctx, name, rightsToRead, func(service *scmService) (err error) {
		state, err = service.state()
		return err
	})
	if errors.Is(err, ErrNotInstalled) {
		return state, nil
	}
	return state, err
}

// Stop implements Services.
func (s *scmServices) Stop(ctx context.Context, name string) error {
	return s.with(ctx, name, rightsToStop, func(service *scmService) error { return service.stop(ctx) })
}

// Start implements Services.
func (s *scmServices) Start(ctx context.Context, name string) error {
	return s.with(ctx, name, rightsToStart, func(service *scmService) error { return service.start(ctx) })
}

// Kill implements Services. A service that shares its process with others is refused: they would end too. One that the
// service control manager has restarted meanwhile (recovery actions) counts as killed.
func (s *scmServices) Kill(ctx context.Context, name string, pid uint32) error {
	return s.with(ctx, name, rightsToRead, func(service *scmService) error { return service.kill(ctx, pid) })
}

// with opens the service of the display name and hands it to do. Errors name the service.
func (s *scmServices) with(ctx context.Context, name string, rights uint32, do func(*scmService) error) error {
	if ctx.Err() != nil {
		return ServiceError(name, WaitError(ctx))
	}
	manager, err := s.calls.connect()
	if err != nil {
		return ServiceError(name, err)
	}
	defer s.calls.close(manager)
	key, err := s.find(manager, name)
	if err != nil {
		return ServiceError(name, err)
	}
	service, err := s.calls.open(manager, name, key, rights)
	if err != nil {
		return ServiceError(name, err)
	}
	defer s.calls.close(service.Handle)
	return ServiceError(name, do(service))
}

// find returns the service's name: the configured one, else the one that the manager has for the display name, else the name itself.
// Services of Windows have display names in the machine's language, so they are asked for by key ("W3SVC").
func (s *scmServices) find(manager windows.Handle, name string) (string, error) {
	if key, ok := s.keys[name]; ok {
		return key, nil
	}
	key, err := s.calls.keyName(manager, name)
	if errors.Is(err, ErrNotInstalled) {
		return name, nil
	}
	return key, err
}

// scmStatus maps a state of the service control manager (SERVICE_STATUS).
func scmStatus(state svc.State) actionv1.ServiceStatus {
	switch state {
	case svc.StartPending, svc.ContinuePending:
		return actionv1.ServiceStatus_SERVICE_STATUS_STARTING
	case svc.Running:
		return actionv1.ServiceStatus_SERVICE_STATUS_RUNNING
	case svc.StopPending:
		return actionv1.ServiceStatus_SERVICE_STATUS_STOPPING
	case svc.PausePending, svc.Paused:
		return actionv1.ServiceStatus_SERVICE_STATUS_PAUSED
	}
	return actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
}

// scmExitCode is the exit code of the last end; 0 for a service that was never started since the machine was.
func scmExitCode(status svc.Status) int64 {
	switch syscall.Errno(status.Win32ExitCode) {
	case windows.ERROR_SERVICE_SPECIFIC_ERROR:
		return int64(status.ServiceSpecificExitCode)
	case windows.ERROR_SERVICE_NEVER_STARTED:
		return 0
	}
	return int64(status.Win32ExitCode)
}
