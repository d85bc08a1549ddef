package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// featureDeed adds features of Windows. It never removes one.
type featureDeed struct {
	work
	irrevocable
	e *actionv1.FeatureAdd
}

func (d featureDeed) resource() string       { return "features " + strings.Join(d.e.GetFeatures(), ", ") }
func (d featureDeed) timeout() time.Duration { return d.e.GetTimeout().AsDuration() }

func (d featureDeed) check(*actionv1.Action) error {
	if err := checkFeatures(d.e.GetFeatures()); err != nil {
		return err
	}
	if d.e.GetSource() == "" {
		return nil
	}
	return checkFolder(d.e.GetSource())
}

func (d featureDeed) read(ctx context.Context) (*actionv1.State, error) {
	s, err := d.r.host.Features.State(ctx, d.e.GetFeatures())
	if err != nil {
		return nil, err
	}
	return &actionv1.State{State: &actionv1.State_Features{Features: s}}, nil
}

func (d featureDeed) do(ctx context.Context, before *actionv1.State) (*actionv1.State, error) {
	var missing []string
	for _, f := range before.GetFeatures().GetFeatures() {
		if !f.GetKnown() {
			return nil, fmt.Errorf("feature %q: is not known to this version of Windows", f.GetName())
		}
		if !f.GetInstalled() {
			missing = append(missing, f.GetName())
		}
	}
	if len(missing) == 0 {
		return nil, nil
	}
	return nil, d.r.host.Features.Add(ctx, missing, d.e.GetSource())
}

func (d featureDeed) reached(now *actionv1.State) error {
	var errs []error
	for _, f := range now.GetFeatures().GetFeatures() {
		if !f.GetInstalled() {
			errs = append(errs, fmt.Errorf("feature %q: is not installed", f.GetName()))
		}
	}
	return errors.Join(errs...)
}
