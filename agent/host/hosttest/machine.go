package hosttest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// SetAdapters has that many healthy BLED112 adapters be present.
func (m *Memory) SetAdapters(count int) {
	var adapters []*actionv1.Device
	for i := range count {
		port := fmt.Sprintf("COM%d", i+3)
		adapters = append(adapters, &actionv1.Device{
			Instance: fmt.Sprintf(`USB\VID_2458&PID_0001\%d`, i+1),
			Name:     "Bluegiga Bluetooth Low Energy (" + port + ")",
			Port:     port,
		})
	}
	m.SetDevices(host.AdapterVendor, host.AdapterProduct, adapters...)
}

// SetDevices has exactly these USB devices of one vendor and product be present.
func (m *Memory) SetDevices(vendor, product string, devices ...*actionv1.Device) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.devices[vendor+":"+product] = devices
}

// SetReachable has an address ("host:port") be reachable over TCP, or not. A new Memory reaches AgentAddress alone, for as
// long as the Nymi Agent runs.
func (m *Memory) SetReachable(addr string, reachable bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listening[addr] = reachable
}

// memoryDevices is Memory's host.Devices.
type memoryDevices struct{ m *Memory }

// USB implements host.Devices.
func (v memoryDevices) USB(_ context.Context, vendor, product string) (*actionv1.DeviceState, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	state := &actionv1.DeviceState{Devices: v.m.devices[vendor+":"+product]}
	return proto.CloneOf(state), nil
}

// memoryNetwork is Memory's host.Network.
type memoryNetwork struct{ m *Memory }

// ProbeTCP implements host.Network.
func (v memoryNetwork) ProbeTCP(_ context.Context, addr string, _ time.Duration) (*actionv1.TCPProbeResult, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, fmt.Errorf("address %q: needs a host and a port: %w", addr, err)
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	result := &actionv1.TCPProbeResult{Reachable: v.m.listening[addr], Took: durationpb.New(0)}
	if agent, ok := v.m.services[host.AgentService]; addr == AgentAddress && ok && agent.status != running {
		result.Reachable = false
	}
	if !result.GetReachable() {
		result.Reason = "connection refused"
	}
	return result, nil
}

// memoryRegistry is Memory's host.Registry. As in Windows, names are found in any case.
type memoryRegistry struct{ m *Memory }

// Get implements host.Registry.
func (v memoryRegistry) Get(_ context.Context, key, value string) (string, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	data, ok := v.m.registry[registryName(key, value)]
	if !ok {
		return "", fmt.Errorf("registry value %q of %q: %w", value, key, host.ErrNotExist)
	}
	return data, nil
}

// Set implements host.Registry.
func (v memoryRegistry) Set(_ context.Context, key, value, data string) error {
	if err := v.m.mutating("registry-set", key+`\`+value); err != nil {
		return err
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	v.m.registry[registryName(key, value)] = data
	return nil
}

// Delete implements host.Registry.
func (v memoryRegistry) Delete(_ context.Context, key, value string) error {
	if err := v.m.mutating("registry-delete", key+`\`+value); err != nil {
		return err
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	name := registryName(key, value)
	if _, ok := v.m.registry[name]; !ok {
		return fmt.Errorf("registry value %q of %q: %w", value, key, host.ErrNotExist)
	}
	delete(v.m.registry, name)
	return nil
}

func registryName(key, value string) string {
	return strings.ToLower(key) + "\x00" + strings.ToLower(value)
}

// memorySystem is Memory's host.System.
type memorySystem struct{ m *Memory }

// Describe implements host.System.
func (v memorySystem) Describe(context.Context) (*actionv1.HostState, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	return proto.CloneOf(v.m.state), nil
}

// SetEnabled implements host.Devices.
func (memoryDevices) SetEnabled(_ context.Context, instance, _, _ string, _ bool) error {
	return fmt.Errorf("device %q: %w", instance, host.ErrNotSupported)
}

// Detail implements host.System.
func (memorySystem) Detail(context.Context) (*actionv1.MachineState, error) {
	return nil, fmt.Errorf("details of this machine: %w", host.ErrNotSupported)
}

// Reboot implements host.System.
func (memorySystem) Reboot(context.Context, time.Duration, string) error {
	return fmt.Errorf("starting this machine again: %w", host.ErrNotSupported)
}

// Levels implements host.Registry.
func (memoryRegistry) Levels(context.Context, string) (uint32, error) {
	return 0, fmt.Errorf("registry: %w", host.ErrNotSupported)
}

// Prune implements host.Registry.
func (memoryRegistry) Prune(context.Context, string, uint32) error {
	return fmt.Errorf("registry: %w", host.ErrNotSupported)
}

// View32 implements host.Registry.
func (r memoryRegistry) View32() host.Registry { return r }

// Probe implements host.Network.
func (v memoryNetwork) Probe(_ context.Context, target *actionv1.ProbeTarget, _ time.Duration) (*actionv1.NetProbeResult, error) {
	return nil, fmt.Errorf("probe of %q: %w", target.GetHost(), host.ErrNotSupported)
}
