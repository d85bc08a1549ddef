// Command certs is the action plugin for certificates: it reports what the stores of a machine hold, adds an approved root, and has the
// web server of a NES host serve another certificate. The agent starts it; each action is a file of its own, and the two that change
// a binding share switch.go.
package main

import "github.com/bandfleet/bandfleet/plugins/sdk"

// version is the plugin's version; the linker sets it in a release.
var version = "0.1.0"

func main() {
	sdk.Serve("certs", version, certScan{}, rootCertInstall{}, tlsCertRotate{}, httpsBindingSet{})
}
