package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// poll is how often a service is looked at while waiting for it.
const poll = 20 * time.Millisecond

// services is a simulated terminal's host.Services.
type services struct{ *terminal }

// State implements host.Services.
func (v services) State(_ context.Context, name string) (*actionv1.ServiceState, error) {
	s, err := v.installed(name)
	if errors.Is(err, host.ErrNotInstalled) {
		return &actionv1.ServiceState{Service: name}, nil
	}
	if err != nil {
		return nil, host.ServiceError(name, err)
	}
	state, err := s.state()
	if state != nil {
		state.Service = name
	}
	return state, host.ServiceError(name, err)
}

// Stop implements host.Services.
func (v services) Stop(ctx context.Context, name string) error {
	s, err := v.installed(name)
	if err == nil {
		err = s.stop(ctx)
	}
	return host.ServiceError(name, err)
}

// Start implements host.Services.
func (v services) Start(ctx context.Context, name string) error {
	s, err := v.installed(name)
	if err == nil {
		err = s.start(ctx)
	}
	return host.ServiceError(name, err)
}

// Kill implements host.Services.
func (v services) Kill(ctx context.Context, name string, pid uint32) error {
	s, err := v.installed(name)
	if err == nil {
		err = s.kill(ctx, pid)
	}
	return host.ServiceError(name, err)
}

// installed finds a service, unless it is set to be missing.
func (t *terminal) installed(name string) (*service, error) {
	s, err := t.service(name)
	if err != nil {
		return nil, err
	}
	behaves, err := s.behaviour()
	if err == nil && behaves.kind == missing {
		err = host.ErrNotInstalled
	}
	return s, err
}

// watchPoll is how often the services of a simulated machine are looked at: a few small files each.
const watchPoll = time.Second

// Watch implements host.Services.
func (v services) Watch(ctx context.Context, names []string, changed func(*actionv1.ServiceState)) error {
	return host.WatchByPolling(ctx, watchPoll, names, nil, v.State, changed)
}

// stop asks the process to stop, once it takes orders, and waits for its end.
func (s *service) stop(ctx context.Context) error {
	asked := false
	return host.Poll(ctx, poll, func() (bool, error) {
		seen, err := s.observe()
		if err != nil || seen.Status == statusStopped {
			return true, err
		}
		if !asked && seen.ControlPort != 0 {
			asked = s.ask(ctx, seen.processRecord)
		}
		return false, nil
	})
}

// ask sends a process the order to stop. False when it does not take it: it may be ending, which the next look shows.
func (s *service) ask(ctx context.Context, process processRecord) bool {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", loopback(process.ControlPort))
	if err != nil {
		return false
	}
	_, err = fmt.Fprintln(conn, process.Token)
	return errors.Join(err, conn.Close()) == nil
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// kill ends the process if it is the service's own.
func (s *service) kill(ctx context.Context, pid uint32) error {
	seen, err := s.observe()
	if err != nil || seen.Status == statusStopped {
		return err
	}
	err = host.EndProcess(pid, func() (uint32, error) {
		seen, err := s.observe()
		return seen.PID, err
	})
	if err != nil {
		return err
	}
	return host.Poll(ctx, poll, func() (bool, error) {
		seen, err := s.observe()
		return seen.Status == statusStopped, err
	})
}

// start launches a process, once an earlier one has ended, and waits until it runs.
func (s *service) start(ctx context.Context) error {
	launched := false
	return host.Poll(ctx, poll, func() (bool, error) {
		seen, err := s.observe()
		switch {
		case err != nil:
			return false, err
		case seen.Status == statusStopped && launched:
			return false, fmt.Errorf("%w (its output is in %s)", host.EndedError(seen.exitCode), s.file(outputFile))
		case seen.Status == statusStopped:
			launched = true
			return false, s.launch(ctx)
		}
		return seen.Status == statusRunning, nil
	})
}

// launch starts a process unless one lives by now, and waits until it holds the service's lock or has ended.
func (s *service) launch(ctx context.Context) error {
	return s.exclusively(ctx, func() error {
		behaves, err := s.behaviour()
		if err != nil {
			return err
		}
		if behaves.kind == disabled {
			return host.ErrDisabled
		}
		if alive, err := isHeld(s.file(lockName)); err != nil || alive {
			return err
		}
		if err := s.forget(); err != nil {
			return err
		}
		ended, err := s.spawn()
		if err != nil {
			return err
		}
		return s.awaitLife(ctx, ended)
	})
}

// awaitLife waits until the new process holds the service's lock, or has ended: then its records tell the rest.
func (s *service) awaitLife(ctx context.Context, ended <-chan struct{}) error {
	return host.Poll(ctx, poll, func() (bool, error) {
		select {
		case <-ended:
			return true, nil
		default:
			return isHeld(s.file(lockName))
		}
	})
}

// spawn starts this program as the service's process. The channel closes when the process has ended.
func (s *service) spawn() (<-chan struct{}, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	output, err := os.OpenFile(s.file(outputFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = output.Close() }() // the process has its own
	cmd := exec.Command(program, "sim", "service", "--dir", s.dir, "--name", s.name)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, serviceEnvironment(), output, output
	cmd.SysProcAttr = detached()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // collects the process; its end is read from its records, by whoever started it
	}()
	return ended, nil
}

// serviceEnvironment is what a process of ours needs: nothing of the agent's, but what Windows' sockets and coverage ask for,
// and that a program built to find races does not sleep for a second at its end.
func serviceEnvironment() []string {
	env := []string{"GORACE=atexit_sleep_ms=0"}
	for _, name := range []string{"SystemRoot", "GOCOVERDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}
