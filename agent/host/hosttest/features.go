package hosttest

import (
	"context"
	"fmt"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// features are the features of a machine by name. Guarded by Memory.mu.
type features struct {
	installed map[string]bool
	// needRestart: adding one is complete only after the machine has started again.
	needRestart bool
	restart     bool
}

// SetFeature has a feature be known, and installed or not. It is not among Calls.
func (m *Memory) SetFeature(name string, installed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.features.installed[name] = installed
}

// FeaturesNeedRestart has the addition of features ask for a restart from now on, or not.
func (m *Memory) FeaturesNeedRestart(need bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.features.needRestart = need
}

// memoryFeatures is Memory's host.Features.
type memoryFeatures struct{ m *Memory }

// State implements host.Features.
func (v memoryFeatures) State(_ context.Context, names []string) (*actionv1.FeatureStates, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	states := &actionv1.FeatureStates{RestartNeeded: v.m.features.restart}
	for _, name := range names {
		installed, known := v.m.features.installed[name]
		states.Features = append(states.Features, &actionv1.Feature{Name: name, Known: known, Installed: installed})
	}
	return states, nil
}

// Add implements host.Features. One that is not known is an error, and none is added.
func (v memoryFeatures) Add(_ context.Context, names []string, _ string) error {
	for _, name := range names {
		if err := v.m.mutating("feature-add", name); err != nil {
			return err
		}
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	for _, name := range names {
		if _, known := v.m.features.installed[name]; !known {
			return fmt.Errorf("feature %q: %w", name, host.ErrNotExist)
		}
	}
	for _, name := range names {
		v.m.features.restart = v.m.features.restart || v.m.features.needRestart && !v.m.features.installed[name]
		v.m.features.installed[name] = true
	}
	return nil
}
