// Command endpoint is the action plugin for the Nymi Bluetooth Endpoint and the Nymi Agent of a terminal: it restarts the one
// or the other and proves that it runs. The agent starts it; each action is a file of its own over the shared restart.
package main

import "github.com/bandfleet/bandfleet/plugins/sdk"

// version is the plugin's version; the linker sets it in a release.
var version = "0.1.0"

func main() {
	sdk.Serve("endpoint", version, bleRestart{}, nymiAgentRestart{})
}
