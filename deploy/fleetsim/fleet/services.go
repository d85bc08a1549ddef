package fleet

import (
	"context"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// services is a machine's service manager. It knows one scripted service; all others are the healthy machine's.
type services struct {
	host.Services
	m *machine
}

// State implements host.Services.
func (s services) State(ctx context.Context, name string) (*actionv1.ServiceState, error) {
	if name != s.m.service {
		return s.Services.State(ctx, name)
	}
	return s.m.observed(), nil
}

// Stop implements host.Services.
func (s services) Stop(ctx context.Context, name string) error {
	if name != s.m.service {
		return s.Services.Stop(ctx, name)
	}
	if s.m.enter(stopping, running, starting) {
		s.m.counts.add(func(c *Count) { c.Stops++ })
		pid := s.m.observed().GetPid()
		time.AfterFunc(s.m.chance.latency(s.m.script.Latency), func() { s.m.end(pid, 0) })
	}
	return host.ServiceError(name, s.await(ctx, stopped))
}

// Start implements host.Services.
func (s services) Start(ctx context.Context, name string) error {
	if name != s.m.service {
		return s.Services.Start(ctx, name)
	}
	if s.m.enter(starting, stopped) {
		s.start()
	}
	if err := s.await(ctx, running, stopped); err != nil {
		return host.ServiceError(name, err)
	}
	if state := s.m.observed(); state.GetStatus() == stopped {
		return host.ServiceError(name, host.EndedError(state.GetExitCode()))
	}
	return nil
}

// start has the service be there after a while, unless the script says that it fails.
func (s services) start() {
	pid := s.m.begin()
	time.AfterFunc(s.m.chance.latency(s.m.script.Latency), func() {
		switch {
		case s.m.chance.happens(s.m.script.Fail):
			s.m.counts.add(func(c *Count) { c.FailedStarts++ })
			s.m.end(pid, failedExit)
		case s.m.enter(running, starting) && s.m.chance.happens(s.m.script.Flap):
			s.m.counts.add(func(c *Count) { c.Flaps++ })
			time.AfterFunc(s.m.chance.within(flapWithin), func() { s.m.end(pid, failedExit) })
		}
	})
}

// Kill implements host.Services.
func (s services) Kill(ctx context.Context, name string, pid uint32) error {
	if name != s.m.service {
		return s.Services.Kill(ctx, name, pid)
	}
	if own := s.m.observed().GetPid(); own != 0 && own != pid {
		return host.ServiceError(name, host.NotOwnProcessError(pid, own))
	}
	s.m.end(pid, failedExit)
	return nil
}

// lookEvery is how often a machine that is on its way is looked at.
const lookEvery = 5 * time.Millisecond

// await waits until the service is in one of the states.
func (s services) await(ctx context.Context, wanted ...actionv1.ServiceStatus) error {
	return host.Poll(ctx, lookEvery, func() (bool, error) {
		status := s.m.observed().GetStatus()
		for _, w := range wanted {
			if status == w {
				return true, nil
			}
		}
		return false, nil
	})
}
