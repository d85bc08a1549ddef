package e2e

import (
	"os"

	"github.com/rogpeppe/go-internal/testscript"
)

// leaseCommands are for changes that end by themselves, which also happens where no server is.
func leaseCommands(f *fleet) map[string]command {
	return map[string]command{
		// settings NAME FLAG...: the agent ends gracefully, and from now on runs with these flags; it is online.
		"settings": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) < 2 || f.agents[args[0]] == nil {
				ts.Fatalf("usage: settings NAME FLAG..., with the name of a terminal that `agent` made")
			}
			a := f.agents[args[0]]
			a.process.signal(os.Interrupt)
			a.process.awaitExit()
			f.awaitOffline(a.name)
			a.flags = args[1:]
			a.start()
			f.awaitOnline(a.name)
		},
		// run-agent NAME: the agent starts again with the same data, and need not reach a server.
		"run-agent": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 1 || f.agents[args[0]] == nil {
				ts.Fatalf("usage: run-agent NAME, with the name of a terminal that `agent` made")
			}
			f.agents[args[0]].start()
		},
	}
}
