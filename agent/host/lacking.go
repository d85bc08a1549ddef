package host

import (
	"context"
	"fmt"
	"io"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Lacking is the capability of a machine that has it not: everything answers ErrNotSupported, and questions whether something is there
// answer no. It names what is lacking ("IIS").
type Lacking string

func (l Lacking) err() error { return fmt.Errorf("%s: %w", string(l), ErrNotSupported) }

// NoCertificates is the Certificates of a machine without certificate stores.
type NoCertificates struct{ Lacking }

// List implements Certificates.
func (n NoCertificates) List(context.Context, string) ([]*actionv1.Certificate, error) {
	return nil, n.err()
}

// Add implements Certificates.
func (n NoCertificates) Add(context.Context, string, []byte) error { return n.err() }

// Import implements Certificates.
func (n NoCertificates) Import(context.Context, string, []byte, string) error { return n.err() }

// Remove implements Certificates.
func (n NoCertificates) Remove(context.Context, string, string) error { return n.err() }

// NoBindings is the Bindings of a machine without a web server.
type NoBindings struct{ Lacking }

// List implements Bindings.
func (n NoBindings) List(context.Context) ([]*actionv1.Binding, error) { return nil, n.err() }

// Set implements Bindings.
func (n NoBindings) Set(context.Context, *actionv1.Binding) error { return n.err() }

// Remove implements Bindings.
func (n NoBindings) Remove(context.Context, *actionv1.Binding) error { return n.err() }

// NoIIS is the IIS of a machine without one.
type NoIIS struct{ Lacking }

// Inventory implements IIS.
func (NoIIS) Inventory(context.Context, ...string) (*actionv1.IISInventory, error) {
	return &actionv1.IISInventory{}, nil
}

// Set implements IIS.
func (n NoIIS) Set(context.Context, actionv1.IISAttribute, string, string) error { return n.err() }

// StartSite implements IIS.
func (n NoIIS) StartSite(context.Context, string) error { return n.err() }

// StartPool implements IIS.
func (n NoIIS) StartPool(context.Context, string) error { return n.err() }

// RecyclePool implements IIS.
func (n NoIIS) RecyclePool(context.Context, string) error { return n.err() }

// NoPower is the Power of a machine without power schemes.
type NoPower struct{ Lacking }

// Get implements Power.
func (n NoPower) Get(context.Context, *actionv1.PowerSetting) (*actionv1.PowerState, error) {
	return nil, n.err()
}

// Set implements Power.
func (n NoPower) Set(context.Context, *actionv1.PowerSetting, uint32, uint32) error { return n.err() }

// NoPrograms is the Programs of an agent with an empty allow-list.
type NoPrograms struct{ Lacking }

// Look implements Programs.
func (NoPrograms) Look(_ context.Context, name string) (*actionv1.ProgramState, error) {
	return &actionv1.ProgramState{Program: name}, nil
}

// Run implements Programs.
func (n NoPrograms) Run(context.Context, string) (*actionv1.ProgramState, error) { return nil, n.err() }

// Open implements Programs.
func (n NoPrograms) Open(context.Context, string, string) (io.ReadCloser, error) { return nil, n.err() }

// EndAll implements Programs.
func (NoPrograms) EndAll(context.Context) error { return nil }

// NoFeatures is the Features of a machine that is not Windows.
type NoFeatures struct{ Lacking }

// State implements Features.
func (n NoFeatures) State(context.Context, []string) (*actionv1.FeatureStates, error) {
	return nil, n.err()
}

// Add implements Features.
func (n NoFeatures) Add(context.Context, []string, string) error { return n.err() }
