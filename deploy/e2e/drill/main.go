// Command drill is a plugin of the end-to-end tests, for what the product's own actions do too slowly or not at all: an action that
// restarts the Bluetooth Endpoint without watching it afterwards, one that asks a person, and one that changes a file for a time. The
// tests build it; it is no part of the product.
package main

import "github.com/bandfleet/bandfleet/plugins/sdk"

func main() { sdk.Serve("drill", "1.0.0", bounce{}, ask{}, raise{}) }
