package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/rights"
)

// maxRegistryData bounds a string value, in bytes.
const maxRegistryData = 32 << 10

// registryDeed sets or removes a string value of the registry.
type registryDeed struct {
	work
	set *actionv1.RegistrySet
}

func (w work) registryDeed(e *actionv1.RegistrySet) deed { return registryDeed{w, e} }

func (d registryDeed) resource() string {
	view := ""
	if d.set.GetView32() {
		view = " (32-bit view)"
	}
	return fmt.Sprintf("registry value %q%s", rights.RegistryValue(d.set.GetKey(), d.set.GetValue()), view)
}

func (d registryDeed) check(*actionv1.Action) error {
	switch {
	case d.set.GetKey() == "" || d.set.GetValue() == "":
		return errors.New("it names no key, or no value")
	case !plainValue(d.set.GetValue()):
		return fmt.Errorf("registry value %q: has a backslash, so that it reads like one of another key", clip(d.set.GetValue(), maxName))
	case len(d.set.GetAfter()) > maxRegistryData:
		return fmt.Errorf("its value has %d bytes, at most %d are allowed", len(d.set.GetAfter()), maxRegistryData)
	}
	return nil
}

// plainValue refuses names of values that a declared capability could not tell from a value of a key below.
func plainValue(name string) bool { return !strings.Contains(name, `\`) }

func (d registryDeed) timeout() time.Duration    { return fileTimeout }
func (d registryDeed) inverse() actionv1.Inverse { return actionv1.Inverse_INVERSE_EXACT }

func (d registryDeed) view() host.Registry {
	if d.set.GetView32() {
		return d.r.host.Registry.View32()
	}
	return d.r.host.Registry
}

func (d registryDeed) read(ctx context.Context) (*actionv1.State, error) {
	state, err := readRegistry(ctx, d.r.host.Registry, d.set.GetKey(), d.set.GetValue(), d.set.GetView32())
	if err != nil {
		return nil, err
	}
	return &actionv1.State{State: &actionv1.State_Registry{Registry: state}}, nil
}

func (d registryDeed) do(ctx context.Context, before *actionv1.State) (*actionv1.State, error) {
	if !holds(before, d.set.Before) {
		return nil, fmt.Errorf("%s: is not what it was when the plan was made", d.resource())
	}
	if d.set.After == nil {
		err := d.view().Delete(ctx, d.set.GetKey(), d.set.GetValue())
		if errors.Is(err, host.ErrNotExist) {
			err = nil
		}
		return nil, err
	}
	return nil, d.view().Set(ctx, d.set.GetKey(), d.set.GetValue(), d.set.GetAfter())
}

// holds says whether a registry value is as wanted; nil wants that it is not there.
func holds(s *actionv1.State, want *string) bool {
	r := s.GetRegistry()
	if want == nil {
		return !r.GetExists()
	}
	return r.GetExists() && r.GetData() == *want
}

func (d registryDeed) reached(now *actionv1.State) error {
	if holds(now, d.set.After) {
		return nil
	}
	return fmt.Errorf("%s: has not the wanted value", d.resource())
}

// restore also removes the keys that were made for the value, as long as they are empty.
func (d registryDeed) restore(ctx context.Context, t touch) *actionv1.Undo {
	first := t.first.GetRegistry()
	u := putBackExactly(ctx, t, func(ctx context.Context) error {
		if first.GetExists() {
			return d.view().Set(ctx, d.set.GetKey(), d.set.GetValue(), first.GetData())
		}
		return d.view().Delete(ctx, d.set.GetKey(), d.set.GetValue())
	})
	if isBack(u) && u.GetState().GetRegistry().GetLevels() > first.GetLevels() {
		if err := d.view().Prune(ctx, d.set.GetKey(), first.GetLevels()); err != nil {
			u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION, err.Error()
		}
	}
	return u
}
