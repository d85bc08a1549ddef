// Package bleservice is what action plugins share about the Nymi services of a terminal: where the Bluetooth Endpoint's service, adapter and
// configuration are, the stop and start of a service within the time that a signed-in user's session bears, and the checks that prove
// that it runs. Only plugins import it; it asks the agent alone.
package bleservice

// The Nymi services by display name, and the USB ids of the Bluetooth adapter, a BLED112.
const (
	Endpoint       = "Nymi Bluetooth Endpoint"
	NymiAgent      = "Nymi Agent"
	AdapterVendor  = "2458"
	AdapterProduct = "0001"
)

// Where the Bluetooth Endpoint's configuration is, and what holds without one (guide: Bluetooth Endpoint configuration).
const (
	Root            = "endpoint"
	ConfigFile      = "nbe.toml"
	TemplateFile    = "nbe.default.toml"
	DefaultAgentURL = "ws://127.0.0.1:9120/socket/websocket"
)
