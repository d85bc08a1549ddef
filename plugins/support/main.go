// Command support is the action plugin for finding out what is wrong: it looks at a machine by the rules of the troubleshooting guide and
// probes the hosts that it needs. It brings logs together. It changes nothing. The agent starts it; each action is a file of its own, and so is each group of rules.
package main

import "github.com/bandfleet/bandfleet/plugins/sdk"

// version is the plugin's version; the linker sets it in a release.
var version = "0.1.0"

func main() {
	sdk.Serve("support", version, actions()...)
}

func actions() []sdk.Action {
	return []sdk.Action{diagnose{}, netProbe{}, logsCollect{}}
}
