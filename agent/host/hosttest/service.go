package hosttest

import (
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Script is how a service of a Memory behaves. The zero Script is a healthy service.
type Script struct {
	// Disabled: configured never to start.
	Disabled bool
	// HangsOnStop: asked to stop, it stays "stopping" until it is killed.
	HangsOnStop bool
	// FailStarts is how many of the next starts end with ExitCode before the service runs; negative means all.
	FailStarts int
	// DieAfter ends the process with ExitCode that long after each start; 0 means never.
	DieAfter time.Duration
	// ExitCode of starts that fail and of DieAfter; 0 means 1.
	ExitCode int64
	// StartDelay and StopDelay are how long it is "starting" and "stopping".
	StartDelay, StopDelay time.Duration
	// IgnoresKill: even a killed process does not go away (stuck in a driver).
	IgnoresKill bool
}

func (s Script) exitCode() int64 {
	if s.ExitCode == 0 {
		return 1
	}
	return s.ExitCode
}

// service is one service. Guarded by Memory.mu.
type service struct {
	name     string
	key      string
	script   Script
	status   actionv1.ServiceStatus
	pid      uint32
	exitCode int64
	// process counts starts, so that a timer of an earlier process leaves a later one alone.
	process int
}

// Install adds a service, stopped. One that is there already keeps its state and gets the script, which counts from its next
// start or stop on.
func (m *Memory) Install(name string, script Script) { m.InstallAs("memory:"+name, name, script) }

// InstallAs is Install with the operating system's own name of the service, by which it is found as well.
func (m *Memory) InstallAs(key, name string, script Script) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, err := m.find(name); err == nil {
		s.script = script
		m.tellChange()
		return
	}
	m.services[name] = &service{
		name: name, key: key, script: script, status: actionv1.ServiceStatus_SERVICE_STATUS_STOPPED,
	}
	m.tellChange()
}

// Uninstall removes a service.
func (m *Memory) Uninstall(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, err := m.find(name); err == nil {
		m.end(s, 0)
		delete(m.services, s.name)
		m.tellChange()
	}
}

// StopNow has a service be stopped, as if somebody at the machine had stopped it. It is not among Calls.
func (m *Memory) StopNow(name string) { m.Crash(name, 0) }

// Crash ends a service's process with an exit code. It is not among Calls.
func (m *Memory) Crash(name string, exitCode int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, err := m.find(name); err == nil {
		m.end(s, exitCode)
	}
}

// StartNow has a service run as a new process, as if somebody at the machine had started it. It is not among Calls.
func (m *Memory) StartNow(name string) { m.startNow(name) }

func (m *Memory) startNow(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, err := m.find(name); err == nil && s.status == actionv1.ServiceStatus_SERVICE_STATUS_STOPPED {
		m.newProcess(s)
		m.running(s)
	}
}

// PID returns a service's process id, 0 when it does not run.
func (m *Memory) PID(name string) uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, err := m.find(name); err == nil {
		return s.pid
	}
	return 0
}

// begin asks a stopped service to start. Called with mu held.
func (m *Memory) begin(s *service) {
	m.newProcess(s)
	m.set(s, actionv1.ServiceStatus_SERVICE_STATUS_STARTING)
	m.later(s, s.script.StartDelay, func() {
		if s.script.FailStarts != 0 {
			s.script.FailStarts-- // a negative count never gets to 0
			m.end(s, s.script.exitCode())
			return
		}
		m.running(s)
	})
}

// askToStop asks a service that runs or starts to stop. Called with mu held.
func (m *Memory) askToStop(s *service) {
	if s.status == actionv1.ServiceStatus_SERVICE_STATUS_STOPPING && s.script.HangsOnStop {
		return
	}
	m.set(s, actionv1.ServiceStatus_SERVICE_STATUS_STOPPING)
	if !s.script.HangsOnStop {
		m.later(s, s.script.StopDelay, func() { m.end(s, 0) })
	}
}

// newProcess gives the service a process. Called with mu held.
func (m *Memory) newProcess(s *service) {
	m.lastPID += 4
	s.pid = m.lastPID
	s.exitCode = 0
	s.process++
}

// running has the service's process run. Called with mu held.
func (m *Memory) running(s *service) {
	if s.status == actionv1.ServiceStatus_SERVICE_STATUS_STOPPING {
		return // asked to stop while it was starting
	}
	m.set(s, actionv1.ServiceStatus_SERVICE_STATUS_RUNNING)
	if s.script.DieAfter > 0 {
		m.later(s, s.script.DieAfter, func() { m.end(s, s.script.exitCode()) })
	}
}

// end ends the service's process, if it has one. Called with mu held.
func (m *Memory) end(s *service, exitCode int64) {
	if s.status == actionv1.ServiceStatus_SERVICE_STATUS_STOPPED {
		return
	}
	s.pid = 0
	s.exitCode = exitCode
	m.set(s, actionv1.ServiceStatus_SERVICE_STATUS_STOPPED)
}

// later does what is due after a delay, with mu held, unless the service has another process by then. No delay means now.
func (m *Memory) later(s *service, delay time.Duration, due func()) {
	if delay <= 0 {
		due()
		return
	}
	process := s.process
	time.AfterFunc(delay, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if s.process == process && s.pid != 0 {
			due()
		}
	})
}

// set changes a service's status and wakes who waits. Called with mu held.
func (m *Memory) set(s *service, status actionv1.ServiceStatus) {
	s.status = status
	m.tellChange()
}

// tellChange wakes who waits for a change of a service. Called with mu held.
func (m *Memory) tellChange() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// observed is the state as callers see it, under the name that they asked for. Called with mu held.
func (s *service) observed(name string) *actionv1.ServiceState {
	return &actionv1.ServiceState{
		Service: name, Installed: true, Key: s.key, Status: s.status, Pid: s.pid,
		Disabled: s.script.Disabled, ExitCode: s.exitCode,
	}
}

// find returns a service by its display name or its key, or ErrNotInstalled. Called with mu held.
func (m *Memory) find(name string) (*service, error) {
	if s, ok := m.services[name]; ok {
		return s, nil
	}
	for _, s := range m.services {
		if s.key == name {
			return s, nil
		}
	}
	return nil, host.ErrNotInstalled
}
