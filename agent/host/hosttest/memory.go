package hosttest

import (
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Memory is a machine in memory. NewMemory gives a healthy terminal: both Nymi services run, the adapter is there, the
// endpoint's nbe.toml names the Nymi Agent on this machine, and its port is open. NewNESHost gives a healthy NES host. Tests then break
// them. All delays go through package time, so a Memory that is made inside a testing/synctest bubble needs no real time. Safe for
// concurrent use.
type Memory struct {
	mu sync.Mutex
	// changed is closed, and made anew, at each change of a service: waiters wait for that.
	changed    chan struct{}
	services   map[string]*service
	files      map[string]map[string]file
	holders    map[string][]*actionv1.HandleHolder
	devices    map[string][]*actionv1.Device
	ports      map[string]string // by instance, of devices that have one while they work
	scripts    map[string]DeviceScript
	listening  map[string]bool
	probes     map[string]*actionv1.NetProbeResult
	peers      map[string]*Memory
	registry   view
	registry32 view
	state      *actionv1.HostState
	detail     *actionv1.MachineState
	users      []*actionv1.UserSession
	usersErr   error
	stores     map[string][]held
	authority  *sample.Authority
	web        *web // nil on a machine without a web server
	power      map[string]*actionv1.PowerState
	programs   map[string]*program
	features   features
	down, up   func()
	lastPID    uint32
	boots      int
	calls      []string
	interpose  func(call string) error
}

// AgentAddress is where the Nymi Agent of a new Memory listens, as its nbe.toml says.
const AgentAddress = "127.0.0.1:9120"

// NewMemory returns a healthy terminal.
func NewMemory() *Memory {
	m := newMachine("terminal")
	m.files[host.EndpointRoot] = map[string]file{}
	m.listening[AgentAddress] = true
	m.Install(host.EndpointService, Script{})
	m.Install(host.AgentService, Script{})
	m.SetAdapters(1)
	m.SetFile(host.EndpointRoot, "nbe.toml", "agent_url = \"ws://"+AgentAddress+"/socket/websocket\"\n")
	m.SetProgram(FirmwareLogTool, Program{NewFiles: map[string]string{"band-log-0001.bin": "sample of an encrypted log"}})
	m.startNow(host.EndpointService)
	m.startNow(host.AgentService)
	return m
}

// newMachine returns a machine with nothing installed.
func newMachine(hostname string) *Memory {
	m := &Memory{
		changed:   make(chan struct{}),
		services:  map[string]*service{},
		files:     map[string]map[string]file{},
		holders:   map[string][]*actionv1.HandleHolder{},
		devices:   map[string][]*actionv1.Device{},
		ports:     map[string]string{},
		scripts:   map[string]DeviceScript{},
		listening: map[string]bool{},
		probes:    map[string]*actionv1.NetProbeResult{},
		peers:     map[string]*Memory{},
		registry:  newView(), registry32: newView(),
		stores:   map[string][]held{},
		power:    map[string]*actionv1.PowerState{},
		programs: map[string]*program{},
		features: features{installed: map[string]bool{}},
		lastPID:  1000,
		state: &actionv1.HostState{
			Hostname: hostname, Os: "windows", OsVersion: "10.0.19045", BootId: "boot-1",
			Addresses: []string{"127.0.0.1", "192.0.2.10"},
		},
		detail: &actionv1.MachineState{
			BootTime: timestamppb.Now(), DomainRole: proto.Uint32(0), FreeBytes: 100 << 30, DotnetRelease: 528040, NfcReaders: proto.Uint32(0),
		},
		boots: 1,
	}
	m.SetPower(&actionv1.PowerState{Setting: USBSuspendSetting(), Ac: 1, Dc: 1})
	return m
}

// Host returns the machine as the runner sees it.
func (m *Memory) Host() *host.Host {
	return &host.Host{
		Services: memoryServices{m},
		Files:    memoryFiles{m},
		Devices:  memoryDevices{m},
		Network:  memoryNetwork{m},
		Registry: memoryRegistry{m: m, view: m.registry},
		System:   memorySystem{m},
		Users:    memoryUsers{m},

		Certificates: memoryCertificates{m},
		Bindings:     memoryBindings{m},
		IIS:          memoryIIS{m},
		Power:        memoryPower{m},
		Programs:     memoryPrograms{m},
		Features:     memoryFeatures{m},
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

// mutating records a call and asks Interpose's check.
func (m *Memory) mutating(verb, object string) error {
	call := fmt.Sprintf("%s %q", verb, object)
	m.mu.Lock()
	m.calls = append(m.calls, call)
	check := m.interpose
	m.mu.Unlock()
	if check == nil {
		return nil
	}
	return check(call)
}
