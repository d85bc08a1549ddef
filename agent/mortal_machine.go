//go:build killpoints

package agent

import (
	"context"
	"sync/atomic"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Kill points of what a machine is told beside its services, by name:
//
//	before|after import  a certificate is about to be put into a store with its key; it is there, and that is not journalled
//	before|after bind    a binding is about to be given a certificate, for the first time in this process; it has it
//	before|after rebind  the same of each later time, which takes the first one back
//	before|after remove  a certificate that was imported is about to be removed with its key; it is gone
//	before|after tool    a program of the allow-list is about to be run; it has ended
//
// mortalMachine puts them around what h can do.
func mortalMachine(h *host.Host) {
	h.Certificates = dyingCertificates{h.Certificates}
	h.Bindings = &dyingBindings{Bindings: h.Bindings}
	h.Programs = dyingPrograms{h.Programs}
}

// dyingCertificates are the machine's certificate stores, with points around what is done with keys.
type dyingCertificates struct{ host.Certificates }

// Import implements host.Certificates.
func (d dyingCertificates) Import(ctx context.Context, store string, pfx []byte, password string) error {
	return around("import", func() error { return d.Certificates.Import(ctx, store, pfx, password) })
}

// Remove implements host.Certificates.
func (d dyingCertificates) Remove(ctx context.Context, store, sha256 string) error {
	return around("remove", func() error { return d.Certificates.Remove(ctx, store, sha256) })
}

// dyingBindings are the https bindings, with points around each change.
type dyingBindings struct {
	host.Bindings
	sets atomic.Int32
}

// Set implements host.Bindings.
func (d *dyingBindings) Set(ctx context.Context, b *actionv1.Binding) error {
	what := "bind"
	if d.sets.Add(1) > 1 {
		what = "rebind"
	}
	return around(what, func() error { return d.Bindings.Set(ctx, b) })
}

// dyingPrograms are the programs of the allow-list, with points around each run.
type dyingPrograms struct{ host.Programs }

// Run implements host.Programs.
func (d dyingPrograms) Run(ctx context.Context, name string) (state *actionv1.ProgramState, err error) {
	err = around("tool", func() (err error) { state, err = d.Programs.Run(ctx, name); return err })
	return state, err
}
