// Command nes is the action plugin for a NES host: verbose logging that ends by itself, IIS, the address of the authentication service,
// the revocation lists, features of Windows, the certificate authority's service and identities of application pools. The agent
// starts it; each action is a file of its own.
package main

import "github.com/bandfleet/bandfleet/plugins/sdk"

// version is the plugin's version; the linker sets it in a release.
var version = "0.1.0"

func main() {
	sdk.Serve("nes", version, actions()...)
}

func actions() []sdk.Action {
	return []sdk.Action{
		verboseLogging{}, iisRestart{}, nesAuthURLSet{}, crlHTTPAllow{}, windowsFeatureEnsure{}, adcsStart{}, appPoolIdentitySet{},
	}
}
