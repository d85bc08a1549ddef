package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

const (
	// errInvalidLevel is what a service control manager answers that does not know a setting (Wine's does).
	errInvalidLevel = windows.ERROR_INVALID_LEVEL
	// poll is the time between two looks at a service that is to stop.
	poll = 250 * time.Millisecond
)

// Install registers the service, to start some time after the machine, and starts it.
func Install(_ context.Context, c Config) error {
	return fail(c.Name, install(c))
}

func install(c Config) (err error) {
	m, err := connect()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Disconnect()) }()
	s, err := create(m, c, true)
	if errors.Is(err, errInvalidLevel) {
		tolerate(c.Name, "delayed start")
		s, err = create(m, c, false)
	}
	if errors.Is(err, windows.ERROR_SERVICE_EXISTS) {
		return errInstalled
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := setRecovery(s); err != nil {
		return errors.Join(err, s.Delete())
	}
	if err := s.Start(); err != nil {
		return fmt.Errorf("was installed, and its start failed: %w; see the agent's log", err)
	}
	return nil
}

// Allowed returns ErrNotAllowed when this account may not install services.
func Allowed() error {
	if !windows.GetCurrentProcessToken().IsElevated() {
		return fmt.Errorf("%w: run it as the system's account, or from a prompt that was opened with `Run as administrator`", ErrNotAllowed)
	}
	return nil
}

// Start asks an installed service to start, and does not wait until it is up. One that runs is no error.
func Start(_ context.Context, name string) error {
	return fail(name, withService(name, func(s *mgr.Service) error {
		if err := s.Start(); !errors.Is(err, windows.ERROR_SERVICE_ALREADY_RUNNING) {
			return err
		}
		return nil
	}))
}

// Stop stops the service and waits for its end. One that does not run is no error.
func Stop(ctx context.Context, name string) error {
	return fail(name, withService(name, func(s *mgr.Service) error { return stop(ctx, s) }))
}

// withService opens an installed service for as long as do runs.
func withService(name string, do func(*mgr.Service) error) (err error) {
	m, err := connect()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Disconnect()) }()
	s, err := m.OpenService(name)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return errNotInstalled
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return do(s)
}

// create registers the service. The manager's client quotes the path of the executable when it holds a space.
func create(m *mgr.Mgr, c Config, delayed bool) (*mgr.Service, error) {
	return m.CreateService(c.Name, c.Executable, mgr.Config{
		StartType:        mgr.StartAutomatic,
		DelayedAutoStart: delayed,
		ErrorControl:     mgr.ErrorNormal,
		DisplayName:      c.DisplayName,
		Description:      c.Description,
	}, c.Args...)
}

// setRecovery has the manager start the service again when it ended without being told to.
func setRecovery(s *mgr.Service) error {
	again := func(after time.Duration) mgr.RecoveryAction {
		return mgr.RecoveryAction{Type: mgr.ServiceRestart, Delay: after}
	}
	const forgetAfter = 24 * 60 * 60 // seconds without a failure
	err := s.SetRecoveryActions([]mgr.RecoveryAction{again(5 * time.Second), again(30 * time.Second), again(time.Minute)}, forgetAfter)
	if err == nil {
		err = s.SetRecoveryActionsOnNonCrashFailures(true)
	}
	if errors.Is(err, errInvalidLevel) {
		tolerate(s.Name, "restart after an end with an error")
		return nil
	}
	return err
}

// tolerate lets a setting go that this service control manager does not know.
func tolerate(name, setting string) {
	slog.Warn("this service control manager does not know a setting; going on without it", "service", name, "setting", setting)
}

// Uninstall stops the service, waits for its end, prepares, and removes it. The data directory stays.
func Uninstall(ctx context.Context, name string, prepare Prepare) error {
	return fail(name, uninstall(ctx, name, prepare))
}

func uninstall(ctx context.Context, name string, prepare Prepare) error {
	return withService(name, func(s *mgr.Service) error {
		if err := stop(ctx, s); err != nil {
			return fmt.Errorf("does not stop: %w; nothing was removed", err)
		}
		words, err := command(s)
		if err == nil {
			err = prepare(ctx, words[1:])
		}
		if err != nil {
			return errors.Join(fmt.Errorf("is not removed and was started again: %w", err), s.Start())
		}
		return s.Delete()
	})
}

// command reads what the service runs: one word or more.
func command(s *mgr.Service) (words []string, err error) {
	err = readConfig(s, func(c *windows.QUERY_SERVICE_CONFIG) (err error) {
		words, err = windows.DecomposeCommandLine(windows.UTF16PtrToString(c.BinaryPathName))
		if err == nil && len(words) == 0 {
			err = errors.New("its command line is empty")
		}
		return err
	})
	return words, err
}

// stop asks the service to stop and waits until it has.
func stop(ctx context.Context, s *mgr.Service) error {
	if _, err := s.Control(svc.Stop); err != nil && !errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE) {
		return err
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		status, err := s.Query()
		if err != nil || status.State == svc.Stopped {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Query reads the state of the service. One that is not there is no error.
func Query(_ context.Context, name string) (Status, error) {
	status, err := query(name)
	return status, fail(name, err)
}

func query(name string) (st Status, err error) {
	err = withService(name, func(s *mgr.Service) (err error) {
		st, err = read(s)
		return err
	})
	if errors.Is(err, errNotInstalled) {
		return Status{State: "not installed"}, nil
	}
	return st, err
}

func read(s *mgr.Service) (Status, error) {
	status, err := s.Query()
	if err != nil {
		return Status{}, err
	}
	start, err := startType(s)
	if err != nil {
		return Status{}, err
	}
	words, err := command(s)
	return Status{
		Installed: true,
		Automatic: start == mgr.StartAutomatic,
		State:     stateWord(status.State),
		PID:       status.ProcessId,
		Command:   words,
	}, err
}

// startType reads how the service starts.
func startType(s *mgr.Service) (start uint32, err error) {
	err = readConfig(s, func(c *windows.QUERY_SERVICE_CONFIG) error {
		start = c.StartType
		return nil
	})
	return start, err
}

// readConfig reads the service's basic settings. It asks for nothing else: a manager that lacks one of the newer settings refuses to tell
// them all. What the settings point to is valid while read runs.
func readConfig(s *mgr.Service, read func(*windows.QUERY_SERVICE_CONFIG) error) error {
	const most = 8 << 10 // bytes, the documented limit of QueryServiceConfig
	buffer := make([]byte, most)
	config := (*windows.QUERY_SERVICE_CONFIG)(unsafe.Pointer(&buffer[0])) //nolint:gosec // the call fills a buffer of its own layout
	var needed uint32
	if err := windows.QueryServiceConfig(s.Handle, config, most, &needed); err != nil {
		return err
	}
	return read(config)
}

func stateWord(s svc.State) string {
	switch s {
	case svc.Stopped:
		return "stopped"
	case svc.StartPending:
		return "starting"
	case svc.StopPending:
		return "stopping"
	case svc.Running:
		return "running"
	}
	return fmt.Sprintf("state %d", s)
}

func connect() (*mgr.Mgr, error) {
	m, err := mgr.Connect()
	if err != nil {
		return nil, fmt.Errorf("the service control manager refuses: %w; run this as an administrator", err)
	}
	return m, nil
}

// Run runs main as the service that the service control manager started; called otherwise it is an error.
func Run(ctx context.Context, name string, main Main) error {
	h := &handler{ctx: ctx, main: main}
	if err := svc.Run(name, h); err != nil {
		return fail(name, fmt.Errorf("%w; `service run` is for the service control manager, use `fleet-agent run` by hand", err))
	}
	return fail(name, h.err)
}

// handler is the service as the service control manager sees it.
type handler struct {
	ctx  context.Context
	main Main
	err  error
}

// Execute implements svc.Handler.
func (h *handler) Execute(_ []string, requests <-chan svc.ChangeRequest, changes chan<- svc.Status) (bool, uint32) {
	changes <- svc.Status{State: svc.StartPending, WaitHint: uint32((30 * time.Second).Milliseconds())}
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	ready := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() { done <- h.main(ctx, func() { ready <- struct{}{} }) }()
	for {
		select {
		case <-ready:
			changes <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
		case h.err = <-done:
			changes <- svc.Status{State: svc.StopPending}
			return h.err != nil, exitCode(h.err)
		case r := <-requests:
			h.answer(r, changes, cancel)
		}
	}
}

func (h *handler) answer(r svc.ChangeRequest, changes chan<- svc.Status, cancel context.CancelFunc) {
	switch r.Cmd {
	case svc.Interrogate:
		changes <- r.CurrentStatus
	case svc.Stop, svc.Shutdown:
		changes <- svc.Status{State: svc.StopPending, WaitHint: uint32(stopTimeout.Milliseconds())}
		cancel()
	}
}

// exitCode is the service's own exit code: any end with an error makes the manager start it again.
func exitCode(err error) uint32 {
	if err != nil {
		return 1
	}
	return 0
}
