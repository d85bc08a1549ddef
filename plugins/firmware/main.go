// Command firmware is the action plugin for the vendor's tools for a band's firmware: it fetches a band's internal log. The agent starts it.
package main

import "github.com/bandfleet/bandfleet/plugins/sdk"

// version is the plugin's version; the linker sets it in a release.
var version = "0.1.0"

func main() {
	sdk.Serve("firmware", version, logsFetch{})
}
