package sim

import (
	"context"
	"fmt"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	powerFile = "power.json"
	// usbSuspend is "USB selective suspend setting" below "USB settings" in the active scheme.
	usbSuspend = "active/2a737441-1930-4402-8d77-b2bebba308a3/48e6b7a6-50f5-4782-a5d4-53bb8f07e226"
)

// powerRecord is a setting of a power scheme.
type powerRecord struct {
	AC       uint32 `json:"ac"`
	DC       uint32 `json:"dc"`
	ByPolicy bool   `json:"by_policy,omitempty"`
}

func newPower() map[string]powerRecord { return map[string]powerRecord{usbSuspend: {AC: 1, DC: 1}} }

func powerName(s *actionv1.PowerSetting) string {
	scheme := s.GetScheme()
	if scheme == "" {
		scheme = "active"
	}
	return scheme + "/" + s.GetSubgroup() + "/" + s.GetSetting()
}

// power is a simulated terminal's host.Power.
type power struct{ *terminal }

// Get implements host.Power.
func (v power) Get(_ context.Context, s *actionv1.PowerSetting) (*actionv1.PowerState, error) {
	settings, err := readRecord[map[string]powerRecord](v.terminal, powerFile)
	record, ok := settings[powerName(s)]
	if err == nil && !ok {
		err = host.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("power setting %q: %w", powerName(s), err)
	}
	return &actionv1.PowerState{Setting: s, Ac: record.AC, Dc: record.DC, ByPolicy: record.ByPolicy}, nil
}

// Set implements host.Power. What a group policy sets stays as the policy has it.
func (v power) Set(ctx context.Context, s *actionv1.PowerSetting, ac, dc uint32) error {
	err := changeRecord(ctx, v.terminal, powerFile, func(settings *map[string]powerRecord) error {
		return replace(*settings, powerName(s), func(r powerRecord) powerRecord {
			if !r.ByPolicy {
				r.AC, r.DC = ac, dc
			}
			return r
		})
	})
	if err != nil {
		return fmt.Errorf("power setting %q: %w", powerName(s), err)
	}
	return nil
}
