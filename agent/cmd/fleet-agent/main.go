// Command fleet-agent is the agent of one machine: it enrols the machine in a fleet, runs there as a program or a service,
// and carries out what the server asks for. This package parses the command line and the configuration, sets up logging
// and maps errors to exit codes; everything else is in package agent and below.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/bandfleet/bandfleet/agent/host/sim"
)

// version is set by the linker.
var version = "dev"

func main() {
	// A service of a simulated machine is this program, started again; it has nothing else in common with it.
	if len(os.Args) > 2 && os.Args[1] == "sim" && os.Args[2] == "service" {
		os.Exit(sim.ServiceMain(os.Args[3:]))
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program. The first signal ends it in good order, the second at once.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	defer context.AfterFunc(ctx, release)()
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil {
		// There is nowhere to report that standard error is closed.
		_, _ = fmt.Fprintf(stderr, "fleet-agent: %v\n", err)
	}
	return exitCode(err)
}
