// Package host is the machine: one small interface per capability, and everything specific to an operating system behind
// them. The runner carries out effects through it and nothing else in the agent touches the machine. There are four
// implementations: Windows, Linux, a simulated machine whose services are real child processes, and one in memory for tests
// (package hosttest), and one conformance suite for all of them.
package host

import (
	"context"
	"errors"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Errors that callers tell apart with errors.Is; each is wrapped with the name of the object.
var (
	// ErrNotInstalled: there is no service with this display name.
	ErrNotInstalled = errors.New("is not installed")
	// ErrDisabled: the service is configured never to start.
	ErrDisabled = errors.New("is disabled")
	// ErrTimeout: the machine did not get there before the context's deadline.
	ErrTimeout = errors.New("did not get there in time")
	// ErrNotSupported: this kind of machine has no such thing.
	ErrNotSupported = errors.New("is not supported on this kind of machine")
	// ErrNotExist: no such file, root or value.
	ErrNotExist = errors.New("does not exist")
	// ErrOutside: a path that leaves its root, or is not allowed as a name on some system.
	ErrOutside = errors.New("is outside its root")
	// ErrEnded: the service's process ended while the service was starting; the error says with which exit code.
	ErrEnded = errors.New("ended while it was starting")
	// ErrNotOwnProcess: a process that is not the service's own main process, so that it must not be killed.
	ErrNotOwnProcess = errors.New("is not the service's own main process")
)

// Host is a machine. All fields are set; a capability that the machine lacks answers ErrNotSupported.
type Host struct {
	Services Services
	Files    Files
	Devices  Devices
	Network  Network
	Registry Registry
	System   System
	Users    Users
}

// Services controls services by display name. Implementations are safe for concurrent use.
type Services interface {
	// State reads a service. A service that is not there is no error: Installed is false.
	State(ctx context.Context, name string) (*actionv1.ServiceState, error)
	// Stop asks the service to stop and waits until it is stopped. Already stopped is success. When ctx's deadline comes
	// first: ErrTimeout, and the service may still stop later.
	Stop(ctx context.Context, name string) error
	// Start starts the service and waits until it runs. Already running is success. ErrTimeout when ctx's deadline comes
	// first, ErrDisabled when it may not be started; when it ends while starting, an error that says so with its exit code.
	Start(ctx context.Context, name string) error
	// Kill ends process pid if and only if it is the service's own main process at that moment, then waits until the service
	// is stopped. Already stopped is success; a service that runs as another process: ErrNotOwnProcess.
	Kill(ctx context.Context, name string, pid uint32) error
}

// Files reads and writes files below named roots ("endpoint"). Paths use forward slashes and cannot leave their root.
type Files interface {
	// Read returns at most limit bytes and whether there was more. ErrNotExist when there is no such file.
	Read(ctx context.Context, root, path string, limit int) (content []byte, more bool, err error)
	// Write replaces or creates a file atomically, keeping the mode or access list of the one that was there.
	Write(ctx context.Context, root, path string, content []byte) error
	// Remove deletes a file. ErrNotExist when there is no such file.
	Remove(ctx context.Context, root, path string) error
	// List returns the names in a folder, sorted; "." is the root itself.
	List(ctx context.Context, root, path string) ([]string, error)
}

// Devices knows the USB devices.
type Devices interface {
	// USB returns the present devices with this vendor and product id (four lower case hexadecimal digits each).
	USB(ctx context.Context, vendor, product string) (*actionv1.DeviceState, error)
}

// Network probes other machines.
type Network interface {
	// ProbeTCP opens and closes a connection. An unreachable peer is no error: the result says so and why.
	ProbeTCP(ctx context.Context, addr string, timeout time.Duration) (*actionv1.TCPProbeResult, error)
}

// Registry reads and writes string values of the Windows registry below HKEY_LOCAL_MACHINE, 64-bit view.
type Registry interface {
	// Get returns a string value. ErrNotExist when the key or the value is not there.
	Get(ctx context.Context, key, value string) (string, error)
	// Set writes a string value, creating the key if needed.
	Set(ctx context.Context, key, value, data string) error
	// Delete removes a value. ErrNotExist when it is not there.
	Delete(ctx context.Context, key, value string) error
}

// System describes the machine.
type System interface {
	Describe(ctx context.Context) (*actionv1.HostState, error)
}

// Users knows who is signed in.
type Users interface {
	// Sessions returns the sessions of people, the active ones first. Services and sign-in screens are no people. ErrNotSupported
	// when this machine has nobody to ask; any other error means that somebody may be at work.
	Sessions(ctx context.Context) ([]*actionv1.UserSession, error)
}

// Display names, ids and file places of what the product is for.
const (
	// EndpointService is the display name of the Bluetooth Endpoint (guide: Services).
	EndpointService = "Nymi Bluetooth Endpoint"
	// AgentService is the display name of the Nymi Agent.
	AgentService = "Nymi Agent"
	// AdapterVendor and AdapterProduct are the USB ids of the BLED112 adapter.
	AdapterVendor  = "2458"
	AdapterProduct = "0001"
	// EndpointRoot names the folder of the Bluetooth Endpoint, with nbe.toml in it.
	EndpointRoot = "endpoint"
)
