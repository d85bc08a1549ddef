// Package host is the machine: one small interface per capability, and everything specific to an operating system behind
// them. The runner carries out effects through it and nothing else in the agent touches the machine. There are four
// implementations: Windows, Linux, a simulated machine whose services are real child processes, and one in memory for tests
// (package hosttest), and one conformance suite for all of them.
package host

import (
	"context"
	"errors"
	"io"
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

	Certificates Certificates
	Bindings     Bindings
	IIS          IIS
	Power        Power
	Programs     Programs
	Features     Features
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
	// Watch tells the state of each of the services: at once, and again within 3 s of each change of what it does or as which process, and
	// within half a minute of a change of whether it is there and may be started, until ctx ends. changed is called from one goroutine. It
	// returns why it ended: WaitError(ctx), or what keeps services from being watched here.
	Watch(ctx context.Context, names []string, changed func(*actionv1.ServiceState)) error
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
	// Stat reads what is known of a file without its hash. A file that is not there is no error: Exists is false.
	Stat(ctx context.Context, root, path string) (*actionv1.FileState, error)
	// Open opens a file for reading, shared: another program may write to, rename or delete it meanwhile. ErrNotExist when there is no such
	// file.
	Open(ctx context.Context, root, path string) (io.ReadCloser, error)
	// Holders lists the processes that hold files below a root. ErrNotSupported where that cannot be told.
	Holders(ctx context.Context, root string) ([]*actionv1.HandleHolder, error)
}

// Devices knows the USB devices.
type Devices interface {
	// USB returns the present devices with this vendor and product id (four lower case hexadecimal digits each).
	USB(ctx context.Context, vendor, product string) (*actionv1.DeviceState, error)
	// SetEnabled enables or disables the device with this instance id, which must have these USB ids, and waits until it is so.
	SetEnabled(ctx context.Context, instance, vendor, product string, enabled bool) error
}

// Network probes other machines.
type Network interface {
	// ProbeTCP opens and closes a connection. An unreachable peer is no error: the result says so and why.
	ProbeTCP(ctx context.Context, addr string, timeout time.Duration) (*actionv1.TCPProbeResult, error)
	// Probe looks a name up, connects, negotiates TLS with what the machine trusts, and asks by HTTP, as far as the target wants and as it
	// gets. Nothing that it meets is an error.
	Probe(ctx context.Context, target *actionv1.ProbeTarget, timeout time.Duration) (*actionv1.NetProbeResult, error)
	// Resolve looks a name up and connects to nothing. That there is no such name is no error: problem says so.
	Resolve(ctx context.Context, name string, timeout time.Duration) (addresses []string, problem string, err error)
}

// Registry reads and writes string values of the Windows registry below HKEY_LOCAL_MACHINE, 64-bit view.
type Registry interface {
	// Get returns a string value. ErrNotExist when the key or the value is not there.
	Get(ctx context.Context, key, value string) (string, error)
	// Set writes a string value, creating the key if needed.
	Set(ctx context.Context, key, value, data string) error
	// Delete removes a value. ErrNotExist when it is not there.
	Delete(ctx context.Context, key, value string) error
	// Levels counts how many levels of a key exist, from the top.
	Levels(ctx context.Context, key string) (uint32, error)
	// Prune removes the levels of a key below the first keep ones, from the bottom, as long as they are empty.
	Prune(ctx context.Context, key string, keep uint32) error
	// View32 is the same in the 32-bit view.
	View32() Registry
}

// System describes the machine.
type System interface {
	Describe(ctx context.Context) (*actionv1.HostState, error)
	// Detail reads what a diagnosis wants to know; what cannot be told is named in the answer.
	Detail(ctx context.Context) (*actionv1.MachineState, error)
	// Reboot has the machine start again after delay, and tells people at it so when message is not empty. It returns before that.
	Reboot(ctx context.Context, delay time.Duration, message string) error
}

// Users knows who is signed in.
type Users interface {
	// Sessions returns the sessions of people, the active ones first. Services and sign-in screens are no people. ErrNotSupported
	// when this machine has nobody to ask; any other error means that somebody may be at work.
	Sessions(ctx context.Context) ([]*actionv1.UserSession, error)
}

// Certificates knows the certificate stores of the machine: "Root", "CA", "My" and "WebHosting". Certificates are named by the lower
// case hexadecimal SHA-256 of their DER.
type Certificates interface {
	// List returns the certificates of a store, sorted by SHA-256.
	List(ctx context.Context, store string) ([]*actionv1.Certificate, error)
	// Add adds a certificate in DER, without a key. One that is there already is left as it is.
	Add(ctx context.Context, store string, der []byte) error
	// Import adds the certificate of a PFX with its private key, which stays on the machine. One that is there already, with its key, is left
	// as it is. The caller zeroes pfx.
	Import(ctx context.Context, store string, pfx []byte, password string) error
	// Remove removes a certificate and the key that was imported with it. ErrNotExist when it is not there.
	Remove(ctx context.Context, store, sha256 string) error
}

// Bindings knows the https bindings of the machine's web server.
type Bindings interface {
	// List returns the https bindings of all sites, sorted by site, port, address and host. ErrNotSupported without a web server.
	List(ctx context.Context) ([]*actionv1.Binding, error)
	// Set makes the binding with b's site, address, port and host serve b's certificate, and makes it first if it is not there. At no
	// moment is nothing bound that the machine could help.
	Set(ctx context.Context, b *actionv1.Binding) error
	// Remove removes a binding. ErrNotExist when it is not there.
	Remove(ctx context.Context, b *actionv1.Binding) error
}

// IIS knows the machine's web server.
type IIS interface {
	// Inventory reads sites, pools, applications, and the SSL flags of the locations. A machine without a web server is no error: Installed is
	// false.
	Inventory(ctx context.Context, locations ...string) (*actionv1.IISInventory, error)
	// Set sets one value. ErrNotExist when there is no such location or pool.
	Set(ctx context.Context, attribute actionv1.IISAttribute, object, value string) error
	// StartSite and StartPool start what is stopped; RecyclePool has a pool start new worker processes.
	StartSite(ctx context.Context, site string) error
	StartPool(ctx context.Context, pool string) error
	RecyclePool(ctx context.Context, pool string) error
}

// Power knows the power schemes.
type Power interface {
	Get(ctx context.Context, s *actionv1.PowerSetting) (*actionv1.PowerState, error)
	Set(ctx context.Context, s *actionv1.PowerSetting, ac, dc uint32) error
}

// Programs runs the programs of the agent's allow-list. What each is (path, hashes, arguments, folder) is the agent's configuration.
type Programs interface {
	// Look reads whether a program is known, there and approved. One that is not is no error.
	Look(ctx context.Context, name string) (*actionv1.ProgramState, error)
	// Run runs a program without a shell and without a window, in its folder, and says how it ended and which files of the folder are new.
	// The file is held between the check of its hash and the start. When ctx ends first, the whole process tree is ended and TimedOut is
	// true. A program that is not known, there or approved is an error, and nothing was run.
	Run(ctx context.Context, name string) (*actionv1.ProgramState, error)
	// Open opens a new file of a program's folder, by the path that Run gave.
	Open(ctx context.Context, name, path string) (io.ReadCloser, error)
	// EndAll ends what an earlier process of the agent left running.
	EndAll(ctx context.Context) error
}

// Features knows the features of Windows.
type Features interface {
	State(ctx context.Context, names []string) (*actionv1.FeatureStates, error)
	// Add installs features, from the source folder unless it is empty. It never removes one and never starts the machine again.
	Add(ctx context.Context, names []string, source string) error
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
