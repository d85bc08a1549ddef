// Command fleetctl is the operators' tool: it asks a Bandfleet server for remedies on terminals and shows what came of them.
package main

import (
	"os"

	"github.com/bandfleet/bandfleet/cli"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(cli.Main(version)) }
