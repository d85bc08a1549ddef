package hosttest

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	stopped  = actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
	running  = actionv1.ServiceStatus_SERVICE_STATUS_RUNNING
	stopping = actionv1.ServiceStatus_SERVICE_STATUS_STOPPING
)

// memoryServices is Memory's host.Services.
type memoryServices struct{ m *Memory }

// State implements host.Services.
func (v memoryServices) State(ctx context.Context, name string) (*actionv1.ServiceState, error) {
	if err := ctx.Err(); err != nil {
		return nil, host.ServiceError(name, host.WaitError(ctx))
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	s, err := v.m.find(name)
	if err != nil {
		return &actionv1.ServiceState{Service: name}, nil // absence is an answer
	}
	return s.observed(name), nil
}

// Stop implements host.Services.
func (v memoryServices) Stop(ctx context.Context, name string) error {
	err := v.m.change(name, "stop", func(s *service) error {
		if s.status != stopped {
			v.m.askToStop(s)
		}
		return nil
	})
	if err == nil {
		err = v.m.await(ctx, name, isStopped)
	}
	return host.ServiceError(name, err)
}

// Start implements host.Services. A service that is still stopping starts once it has stopped.
func (v memoryServices) Start(ctx context.Context, name string) error {
	err := v.m.change(name, "start", func(s *service) error {
		if s.script.Disabled && s.status != running {
			return host.ErrDisabled
		}
		return nil
	})
	if err == nil {
		err = v.m.start(ctx, name)
	}
	return host.ServiceError(name, err)
}

// Kill implements host.Services.
func (v memoryServices) Kill(ctx context.Context, name string, pid uint32) error {
	err := v.m.change(name, "kill", func(s *service) error {
		const killed = 137
		switch {
		case s.status != stopped && s.pid != pid:
			return host.NotOwnProcessError(pid, s.pid)
		case !s.script.IgnoresKill:
			v.m.end(s, killed)
		}
		return nil
	})
	if err == nil {
		err = v.m.await(ctx, name, isStopped)
	}
	return host.ServiceError(name, err)
}

// Watch implements host.Services. It needs no polling.
func (v memoryServices) Watch(ctx context.Context, names []string, changed func(*actionv1.ServiceState)) error {
	last := map[string]*actionv1.ServiceState{}
	for {
		v.m.mu.Lock()
		woken := v.m.changed
		v.m.mu.Unlock()
		for _, name := range names {
			now, err := v.State(ctx, name)
			if err != nil {
				return host.WaitError(ctx)
			}
			if before := last[name]; before == nil || !proto.Equal(before, now) {
				last[name] = now
				changed(now)
			}
		}
		select {
		case <-ctx.Done():
			return host.WaitError(ctx)
		case <-woken:
		}
	}
}

// start waits for a service that is stopping, asks it to start and waits for the end of that.
func (m *Memory) start(ctx context.Context, name string) error {
	err := m.await(ctx, name, func(s *service) (bool, error) {
		if s.status == stopped {
			m.begin(s)
		}
		return s.status != stopping, nil
	})
	if err != nil {
		return err
	}
	return m.await(ctx, name, func(s *service) (bool, error) {
		if s.status == stopped {
			return false, host.EndedError(s.exitCode)
		}
		return s.status == running, nil
	})
}

func isStopped(s *service) (bool, error) { return s.status == stopped, nil }

// change records the call and carries out its immediate part, if there is such a service.
func (m *Memory) change(name, verb string, do func(*service) error) error {
	if err := m.mutating(verb, name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.find(name)
	if err != nil {
		return err
	}
	return do(s)
}

// await asks done at each change of any service until it says true or errs, or ctx ends.
func (m *Memory) await(ctx context.Context, name string, done func(*service) (bool, error)) error {
	for {
		m.mu.Lock()
		s, err := m.find(name)
		ok := false
		if err == nil {
			ok, err = done(s)
		}
		changed := m.changed
		m.mu.Unlock()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return host.WaitError(ctx)
		case <-changed:
		}
	}
}
