// Command terminal is the action plugin for the settings of a user terminal: nbe.toml of the Bluetooth Endpoint, its adapter, the URL of
// NES, USB power saving, the Nymi Runtime, and the restart of the machine itself. The agent starts it; each action is a file of its own.
package main

import "github.com/bandfleet/bandfleet/plugins/sdk"

// version is the plugin's version; the linker sets it in a release.
var version = "0.1.0"

func main() {
	sdk.Serve("terminal", version, actions()...)
}

func actions() []sdk.Action {
	return []sdk.Action{
		nbeConfigSet{}, nbeConfigReset{}, bleAdapterCycle{}, nesURLSet{}, usbSuspendDisable{}, runtimeInstall{}, hostReboot{},
	}
}
