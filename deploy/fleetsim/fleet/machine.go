package fleet

import (
	"context"
	"sync"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	stopped  = actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
	starting = actionv1.ServiceStatus_SERVICE_STATUS_STARTING
	running  = actionv1.ServiceStatus_SERVICE_STATUS_RUNNING
	stopping = actionv1.ServiceStatus_SERVICE_STATUS_STOPPING
)

// flapWithin is how long a service lives at most that is to die again.
const flapWithin = 2 * time.Second

// failedExit is the exit code of a service that does not start, or dies.
const failedExit = 1

// machine is one simulated machine: the state of one service, the Bluetooth Endpoint of a terminal or the web server of a NES host, and a
// script.
type machine struct {
	script Script
	chance *chance
	counts *Counts
	// service is the name of the one, and entry the catalogue's of the fault that it does not run. Both are set before the machine is used.
	service, entry string
	// changed gets a token when the service may run, or not run any more.
	changed chan struct{}

	mu     sync.Mutex
	status actionv1.ServiceStatus
	pid    uint32
	exit   int64
	// last is the last process id that was given.
	last uint32
}

func newMachine(s Script, c *chance, counts *Counts) *machine {
	return &machine{script: s, chance: c, counts: counts, service: host.EndpointService, changed: make(chan struct{}, 1), status: running, pid: 1000, last: 1000}
}

// host is the machine as the runner sees it. What the script does not concern is the healthy machine's.
func (m *machine) host(name string, healthy *host.Host) *host.Host {
	h := *healthy
	h.Services = services{healthy.Services, m}
	h.System = system{healthy.System, name}
	return &h
}

// system is the healthy machine under another name.
type system struct {
	host.System
	name string
}

// Describe implements host.System.
func (s system) Describe(ctx context.Context) (*actionv1.HostState, error) {
	state, err := s.System.Describe(ctx)
	if state != nil {
		state.Hostname = s.name
	}
	return state, err
}

func (m *machine) observed() *actionv1.ServiceState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &actionv1.ServiceState{
		Service: m.service, Installed: true, Key: "sim:" + m.service, Status: m.status, Pid: m.pid, ExitCode: m.exit,
	}
}

// enter changes the status if it is one of from; false: it is another.
func (m *machine) enter(to actionv1.ServiceStatus, from ...actionv1.ServiceStatus) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range from {
		if m.status == s {
			m.status = to
			m.hint()
			return true
		}
	}
	return false
}

// end ends the service's process pid; another one is left alone.
func (m *machine) end(pid uint32, exit int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pid == pid {
		m.status, m.pid, m.exit = stopped, 0, exit
		m.hint()
	}
}

// begin gives the service a process.
func (m *machine) begin() uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last += 4
	m.pid, m.exit = m.last, 0
	return m.pid
}

// die ends the service as a crash does.
func (m *machine) die() { m.end(m.observed().GetPid(), failedExit) }

func (m *machine) hint() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}
