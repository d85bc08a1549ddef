package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unsafe"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

// scmPoll is how often a service's status is read while waiting for it. Wait hints are not used: a hint says how long the
// service thinks it needs, the caller's deadline how long it may.
const scmPoll = 100 * time.Millisecond

// scmCalls are this process's calls to the service control manager, which are made one after the other: where two threads make them at once
// (a reader of services beside their watch), Wine's client mixes up handles, and calls fail or never return. What may block for as long as a
// service pleases does not wait for its turn.
type scmCalls struct{ turn sync.Mutex }

// connect opens the manager.
func (c *scmCalls) connect() (windows.Handle, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	return windows.OpenSCManager(nil, nil, windows.SC_MANAGER_CONNECT)
}

func (c *scmCalls) close(handle windows.Handle) {
	c.turn.Lock()
	defer c.turn.Unlock()
	_ = windows.CloseServiceHandle(handle) // only frees the handle
}

// scmService is one open service.
type scmService struct {
	*mgr.Service
	calls *scmCalls
	// name is the display name that was asked for.
	name string
}

// open opens the service with a name of the service control manager's.
func (c *scmCalls) open(manager windows.Handle, name, key string, rights uint32) (*scmService, error) {
	text, err := windows.UTF16PtrFromString(key)
	if err != nil {
		return nil, err
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	handle, err := windows.OpenService(manager, text, rights)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) || errors.Is(err, windows.ERROR_INVALID_NAME) {
		return nil, ErrNotInstalled
	}
	if err != nil {
		return nil, err
	}
	return &scmService{Service: &mgr.Service{Name: key, Handle: handle}, calls: c, name: name}, nil
}

// keyName asks the service control manager which service has a display name (GetServiceKeyName).
func (c *scmCalls) keyName(manager windows.Handle, name string) (string, error) {
	text, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return "", err
	}
	const longest = 256 // the manager's limit for service names, in characters
	var key [longest + 1]uint16
	size := uint32(len(key))
	c.turn.Lock()
	defer c.turn.Unlock()
	ok, _, err := windows.NewLazySystemDLL("advapi32.dll").NewProc("GetServiceKeyNameW").Call(
		//nolint:gosec // buffers of this frame, their sizes beside them
		uintptr(manager), uintptr(unsafe.Pointer(text)), uintptr(unsafe.Pointer(&key[0])), uintptr(unsafe.Pointer(&size)))
	switch {
	case ok != 0:
		return windows.UTF16ToString(key[:]), nil
	case errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST), errors.Is(err, windows.ERROR_INVALID_NAME):
		return "", ErrNotInstalled
	}
	return "", err
}

func (s *scmService) state() (*actionv1.ServiceState, error) {
	config, err := s.config()
	if err != nil {
		return nil, err
	}
	status, err := s.query()
	if err != nil {
		return nil, err
	}
	return &actionv1.ServiceState{
		Service: s.name, Installed: true, Key: s.Name, Status: scmStatus(status.State), Pid: status.ProcessId,
		Disabled: config.StartType == windows.SERVICE_DISABLED, ExitCode: scmExitCode(status),
	}, nil
}

// query reads the service's status. A process that has ended counts as a service that has stopped, even while the service
// control manager still says otherwise: it learns of a crash a moment later (and Wine's never does).
func (s *scmService) query() (svc.Status, error) {
	status, err := s.ask()
	if err != nil || status.ProcessId == 0 {
		return status, err
	}
	if exitCode, ended := processEnded(status.ProcessId); ended {
		return svc.Status{State: svc.Stopped, Win32ExitCode: exitCode}, nil
	}
	return status, nil
}

// ask reads the status as the manager has it.
func (s *scmService) ask() (svc.Status, error) {
	s.calls.turn.Lock()
	defer s.calls.turn.Unlock()
	return s.Query()
}

// processEnded says whether a process has ended, and how. A process that the agent may not look at counts as alive.
func processEnded(pid uint32) (exitCode uint32, ended bool) {
	handle, err := windows.OpenProcess(windows.SYNCHRONIZE|windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if errors.Is(err, windows.ERROR_INVALID_PARAMETER) { // there is none with this id
		return uint32(windows.ERROR_PROCESS_ABORTED), true
	}
	if err != nil {
		return 0, false
	}
	defer func() { _ = windows.CloseHandle(handle) }() // only frees the handle
	if event, err := windows.WaitForSingleObject(handle, 0); err != nil || event != windows.WAIT_OBJECT_0 {
		return 0, false
	}
	if windows.GetExitCodeProcess(handle, &exitCode) != nil {
		exitCode = uint32(windows.ERROR_PROCESS_ABORTED)
	}
	return exitCode, true
}

// config reads the service's type and start type (QueryServiceConfig).
func (s *scmService) config() (*windows.QUERY_SERVICE_CONFIG, error) {
	const largest = 8 << 10 // the API's own limit, in bytes
	buffer := make([]uint64, largest/8)
	config := (*windows.QUERY_SERVICE_CONFIG)(unsafe.Pointer(&buffer[0])) //nolint:gosec // the API writes the text behind the struct
	var needed uint32
	s.calls.turn.Lock()
	defer s.calls.turn.Unlock()
	err := windows.QueryServiceConfig(s.Handle, config, largest, &needed)
	return config, err
}

// stop asks for the service's stop, once it takes orders, and waits until it is stopped.
func (s *scmService) stop(ctx context.Context) error {
	asked := false
	return Poll(ctx, scmPoll, func() (bool, error) {
		status, err := s.query()
		if err != nil || status.State == svc.Stopped {
			return true, err
		}
		if !asked && (status.State == svc.Running || status.State == svc.Paused) {
			asked, err = s.askToStop(ctx)
		}
		return false, err
	})
}

// askToStop sends the stop control. asked is false when the service takes no orders at the moment.
func (s *scmService) askToStop(ctx context.Context) (asked bool, err error) {
	if err := s.noDependents(); err != nil {
		return false, err
	}
	err = s.call(ctx, rightsToStop, func(service *scmService) error {
		_, err := service.Control(svc.Stop)
		return err
	})
	switch {
	case errors.Is(err, windows.ERROR_SERVICE_CANNOT_ACCEPT_CTRL), errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE):
		return false, nil
	case errors.Is(err, windows.ERROR_SERVICE_REQUEST_TIMEOUT):
		return true, nil // its handler hangs; it may still stop
	}
	return true, err
}

// noDependents refuses a stop while services that depend on this one run. They are named, not stopped: nobody asked for that.
func (s *scmService) noDependents() error {
	dependents, err := s.ListDependentServices(svc.Active)
	if err == nil && len(dependents) > 0 {
		err = fmt.Errorf("services that depend on it are running (%s): stop them first", strings.Join(dependents, ", "))
	}
	return err
}

// start starts the service, once an earlier run has ended, and waits until it runs.
func (s *scmService) start(ctx context.Context) error {
	launched := false
	return Poll(ctx, scmPoll, func() (bool, error) {
		status, err := s.query()
		switch {
		case err != nil:
			return false, err
		case status.State == svc.Stopped && launched:
			return false, EndedError(scmExitCode(status))
		case status.State == svc.Stopped:
			launched, err = s.launch(ctx)
			return false, err
		case status.State == svc.Paused:
			_, err := s.Control(svc.Continue)
			return false, err
		}
		return status.State == svc.Running, nil
	})
}

// launch asks the service control manager to start the service. launched is false when the manager still thinks that it
// runs: it has not yet noticed the end of its process.
func (s *scmService) launch(ctx context.Context) (launched bool, err error) {
	err = s.call(ctx, rightsToStart, func(service *scmService) error { return service.Start() })
	switch {
	case errors.Is(err, windows.ERROR_SERVICE_DISABLED):
		return false, ErrDisabled
	case errors.Is(err, windows.ERROR_SERVICE_ALREADY_RUNNING):
		return false, nil
	case errors.Is(err, windows.ERROR_SERVICE_REQUEST_TIMEOUT):
		return false, fmt.Errorf("%w, before it answered the service control manager: %w", ErrEnded, err)
	}
	return true, err
}

// kill ends the service's own process.
func (s *scmService) kill(ctx context.Context, pid uint32) error {
	status, err := s.query()
	if err != nil || status.State == svc.Stopped {
		return err
	}
	config, err := s.config()
	if err != nil {
		return err
	}
	if config.ServiceType&windows.SERVICE_WIN32_SHARE_PROCESS != 0 {
		return errors.New("shares its process with other services, which would end too: restart the machine instead")
	}
	err = EndProcess(pid, func() (uint32, error) {
		status, err := s.query()
		return status.ProcessId, err
	})
	if err != nil {
		return err
	}
	return Poll(ctx, scmPoll, func() (bool, error) {
		status, err := s.query()
		return status.ProcessId != pid, err
	})
}

// call does what may block for as long as the service pleases (up to 30 s), on a handle of its own, and returns early when
// ctx ends. The call itself then goes on; its outcome shows in the service's status.
func (s *scmService) call(ctx context.Context, rights uint32, do func(*scmService) error) error {
	done := make(chan error, 1)
	go func() { done <- s.reopened(rights, do) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return WaitError(ctx)
	}
}

// reopened hands do the same service on another handle.
func (s *scmService) reopened(rights uint32, do func(*scmService) error) error {
	manager, err := s.calls.connect()
	if err != nil {
		return err
	}
	defer s.calls.close(manager)
	again, err := s.calls.open(manager, s.name, s.Name, rights)
	if err != nil {
		return err
	}
	defer s.calls.close(again.Handle)
	return do(again)
}
