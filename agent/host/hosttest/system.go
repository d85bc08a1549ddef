package hosttest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// SetHost changes what the machine says of itself.
func (m *Memory) SetHost(change func(*actionv1.HostState)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m.state)
}

// SetDetail changes what a diagnosis reads.
func (m *Memory) SetDetail(change func(*actionv1.MachineState)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m.detail)
}

// OnReboot has a test take part in each start of the machine: down is called when everything on it has ended, up when its services
// run again. Each may be nil. What runs on the machine (a runner) is to be ended in down and begun again in up.
func (m *Memory) OnReboot(down, up func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down, m.up = down, up
}

// Reboot starts the machine anew: another boot id, no program running, and each service that is not disabled running as another process.
func (m *Memory) Reboot() {
	names, down, up := m.shutDown()
	if down != nil {
		down()
	}
	for _, name := range names {
		m.startNow(name)
	}
	if up != nil {
		up()
	}
}

// shutDown ends what runs, and returns the services to start and whom to tell.
func (m *Memory) shutDown() (names []string, down, up func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boots++
	m.state.BootId = fmt.Sprintf("boot-%d", m.boots)
	m.detail.BootTime, m.detail.RebootPending, m.detail.RebootReasons = timestamppb.Now(), false, nil
	m.features.restart = false
	for name, s := range m.services {
		m.end(s, 0)
		if !s.script.Disabled {
			names = append(names, name)
		}
	}
	for _, p := range m.programs {
		p.left = false
	}
	slices.Sort(names)
	return names, m.down, m.up
}

// memorySystem is Memory's host.System.
type memorySystem struct{ m *Memory }

// Describe implements host.System.
func (v memorySystem) Describe(context.Context) (*actionv1.HostState, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	return proto.CloneOf(v.m.state), nil
}

// Detail implements host.System.
func (v memorySystem) Detail(context.Context) (*actionv1.MachineState, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	detail := proto.CloneOf(v.m.detail)
	if v.m.features.restart {
		detail.RebootPending = true
		detail.RebootReasons = append(detail.RebootReasons, "component based servicing")
	}
	return detail, nil
}

// Reboot implements host.System.
func (v memorySystem) Reboot(_ context.Context, delay time.Duration, message string) error {
	if err := v.m.mutating("reboot", message); err != nil {
		return err
	}
	time.AfterFunc(delay, v.m.Reboot)
	return nil
}
