package sim

import (
	"context"
	"fmt"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const featuresFile = "features.json"

// featuresRecord are the features of the machine.
type featuresRecord struct {
	// Installed says by name whether a feature is; one that is not here is not known.
	Installed map[string]bool `json:"installed"`
	// NeedRestart: adding one asks for a restart, which is then due until the machine has started again.
	NeedRestart bool `json:"need_restart,omitempty"`
	RestartDue  bool `json:"restart_due,omitempty"`
}

func newFeatures() featuresRecord {
	return featuresRecord{Installed: map[string]bool{
		"NetFx4Extended-ASPNET45": true, "IIS-ASPNET45": true, "IIS-ISAPIExtensions": true, "IIS-ISAPIFilter": true,
	}}
}

// features is a simulated NES host's host.Features.
type features struct{ *terminal }

// State implements host.Features.
func (v features) State(_ context.Context, names []string) (*actionv1.FeatureStates, error) {
	record, err := readRecord[featuresRecord](v.terminal, featuresFile)
	if err != nil {
		return nil, fmt.Errorf("features: %w", err)
	}
	states := &actionv1.FeatureStates{RestartNeeded: record.RestartDue}
	for _, name := range names {
		installed, known := record.Installed[name]
		states.Features = append(states.Features, &actionv1.Feature{Name: name, Known: known, Installed: installed})
	}
	return states, nil
}

// Add implements host.Features.
func (v features) Add(ctx context.Context, names []string, _ string) error {
	return changeRecord(ctx, v.terminal, featuresFile, func(record *featuresRecord) error {
		for _, name := range names {
			if _, known := record.Installed[name]; !known {
				return fmt.Errorf("feature %q: %w", name, host.ErrNotExist)
			}
		}
		for _, name := range names {
			record.RestartDue = record.RestartDue || record.NeedRestart && !record.Installed[name]
			record.Installed[name] = true
		}
		return nil
	})
}
