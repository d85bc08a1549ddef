package hosttest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Memory is a machine in memory. NewMemory gives a healthy terminal: both Nymi services run, the adapter is there, the
// endpoint's nbe.toml names the Nymi Agent on this machine, and its port is open. Tests then break it. All delays go through
// package time, so a Memory that is made inside a testing/synctest bubble needs no real time. Safe for concurrent use.
type Memory struct {
	mu sync.Mutex
	// changed is closed, and made anew, at each change of a service: waiters wait for that.
	changed   chan struct{}
	services  map[string]*service
	files     map[string]map[string][]byte
	devices   map[string][]*actionv1.Device
	listening map[string]bool
	registry  map[string]string
	state     *actionv1.HostState
	users     []*actionv1.UserSession
	usersErr  error
	lastPID   uint32
	boots     int
	calls     []string
	interpose func(call string) error
	guard     func(call string) error
}

// AgentAddress is where the Nymi Agent of a new Memory listens, as its nbe.toml says.
const AgentAddress = "127.0.0.1:9120"

// NewMemory returns a healthy terminal.
func NewMemory() *Memory {
	m := &Memory{
		changed:   make(chan struct{}),
		services:  map[string]*service{},
		files:     map[string]map[string][]byte{host.EndpointRoot: {}},
		devices:   map[string][]*actionv1.Device{},
		listening: map[string]bool{AgentAddress: true},
		registry:  map[string]string{},
		lastPID:   1000,
		state: &actionv1.HostState{
			Hostname: "terminal", Os: "windows", OsVersion: "10.0.19045", BootId: "boot-1",
			Addresses: []string{"127.0.0.1", "192.0.2.10"},
		},
		boots: 1,
	}
	m.Install(host.EndpointService, Script{})
	m.Install(host.AgentService, Script{})
	m.SetAdapters(1)
	m.SetFile(host.EndpointRoot, "nbe.toml", "agent_url = \"ws://"+AgentAddress+"/socket/websocket\"\n")
	m.startNow(host.EndpointService)
	m.startNow(host.AgentService)
	return m
}

// Host returns the machine as the runner sees it.
func (m *Memory) Host() *host.Host {
	return &host.Host{
		Services: memoryServices{m},
		Files:    memoryFiles{m},
		Devices:  memoryDevices{m},
		Network:  memoryNetwork{m},
		Registry: memoryRegistry{m},
		System:   memorySystem{m},
		Users:    memoryUsers{m},

		Certificates: host.NoCertificates{Lacking: "certificate stores"},
		Bindings:     host.NoBindings{Lacking: "a web server"},
		IIS:          host.NoIIS{Lacking: "IIS"},
		Power:        host.NoPower{Lacking: "power schemes"},
		Programs:     host.NoPrograms{Lacking: "an allow-list of programs"},
		Features:     host.NoFeatures{Lacking: "features of Windows"},
	}
}

// Calls returns the calls that may change the machine, in order: `stop "Nymi Agent"`, `write "endpoint/nbe.toml"`. Calls that
// were refused or failed are in it too.
func (m *Memory) Calls() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// Interpose has every call that may change the machine ask check first, with the text that Calls has. An error is returned
// to the caller, and the call changes nothing. nil takes it away.
func (m *Memory) Interpose(check func(call string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.interpose = check
}

// Guard has every call that may change the machine ask check before anything else: a call that is turned away is not even among Calls.
// It is for processes of an agent that die in the middle. nil takes it away.
func (m *Memory) Guard(check func(call string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.guard = check
}

func (m *Memory) guarded(call string) error {
	m.mu.Lock()
	check := m.guard
	m.mu.Unlock()
	if check == nil {
		return nil
	}
	return check(call)
}

// mutating records a call and asks Interpose's check.
func (m *Memory) mutating(verb, object string) error {
	call := fmt.Sprintf("%s %q", verb, object)
	if err := m.guarded(call); err != nil {
		return err
	}
	m.mu.Lock()
	m.calls = append(m.calls, call)
	check := m.interpose
	m.mu.Unlock()
	if check == nil {
		return nil
	}
	return check(call)
}

// Reboot starts the machine anew: another boot id, and each service that is not disabled running as another process.
func (m *Memory) Reboot() {
	m.mu.Lock()
	m.boots++
	m.state.BootId = fmt.Sprintf("boot-%d", m.boots)
	names := make([]string, 0, len(m.services))
	for name, s := range m.services {
		m.end(s, 0)
		if !s.script.Disabled {
			names = append(names, name)
		}
	}
	m.mu.Unlock()
	slices.Sort(names)
	for _, name := range names {
		m.startNow(name)
	}
}

// SetHost changes what the machine says of itself.
func (m *Memory) SetHost(change func(*actionv1.HostState)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m.state)
}
