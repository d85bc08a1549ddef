package hosttest

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// GUIDs of "USB settings" and of "USB selective suspend setting" in a power scheme.
const (
	USBSubgroup = "2a737441-1930-4402-8d77-b2bebba308a3"
	USBSuspend  = "48e6b7a6-50f5-4782-a5d4-53bb8f07e226"
)

// USBSuspendSetting is USB selective suspend in the active scheme. A new Memory has it on, for mains and battery.
func USBSuspendSetting() *actionv1.PowerSetting {
	return &actionv1.PowerSetting{Subgroup: USBSubgroup, Setting: USBSuspend}
}

// SetPower sets a power setting, which is made if needed. It is not among Calls.
func (m *Memory) SetPower(state *actionv1.PowerState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.power[powerName(state.GetSetting())] = proto.CloneOf(state)
}

func powerName(s *actionv1.PowerSetting) string {
	scheme := s.GetScheme()
	if scheme == "" {
		scheme = "active"
	}
	return scheme + "/" + s.GetSubgroup() + "/" + s.GetSetting()
}

// memoryPower is Memory's host.Power.
type memoryPower struct{ m *Memory }

// Get implements host.Power.
func (v memoryPower) Get(_ context.Context, s *actionv1.PowerSetting) (*actionv1.PowerState, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	state, ok := v.m.power[powerName(s)]
	if !ok {
		return nil, fmt.Errorf("power setting %q: %w", powerName(s), host.ErrNotExist)
	}
	read := proto.CloneOf(state)
	read.Setting = proto.CloneOf(s)
	return read, nil
}

// Set implements host.Power. What a group policy sets stays as the policy has it.
func (v memoryPower) Set(_ context.Context, s *actionv1.PowerSetting, ac, dc uint32) error {
	if err := v.m.mutating("power-set", powerName(s)); err != nil {
		return err
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	state, ok := v.m.power[powerName(s)]
	if !ok {
		return fmt.Errorf("power setting %q: %w", powerName(s), host.ErrNotExist)
	}
	if !state.GetByPolicy() {
		state.Ac, state.Dc = ac, dc
	}
	return nil
}
