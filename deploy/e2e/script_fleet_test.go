package e2e

import (
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// serverCommands end a script's server and start it again.
func serverCommands(f *fleet) map[string]command {
	return map[string]command{
		// stop-server, start-server: the server ends gracefully; it starts again with the same data.
		"stop-server": func(*testscript.TestScript, bool, []string) {
			f.server.signal(os.Interrupt)
			f.server.awaitExit()
		},
		"start-server": func(*testscript.TestScript, bool, []string) { f.start() },
		// kill-server: the server ends as by a power cut.
		"kill-server": func(*testscript.TestScript, bool, []string) { f.server.kill() },
	}
}

// agentCommands make a script's terminals, end their agents and start them again.
func agentCommands(f *fleet) map[string]command {
	f.agents = map[string]*agent{}
	of := func(do func(*agent)) command {
		return func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 1 || f.agents[args[0]] == nil {
				ts.Fatalf("want the name of a terminal that `agent` made")
			}
			do(f.agents[args[0]])
		}
	}
	enrolled := func(role string) command {
		return func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 2 {
				ts.Fatalf("want a site and a name")
			}
			a := f.newMachineWith(args[0], args[1], "drills", role)
			f.agents[args[1]] = a
			ts.Setenv("MACHINE_"+strings.ReplaceAll(args[1], "-", "_"), a.machine)
			ts.Setenv("AGENT_"+strings.ReplaceAll(args[1], "-", "_"), a.dataDir)
		}
	}
	return map[string]command{
		// agent SITE NAME: a simulated terminal with an enrolled agent, online. It has the product's plugin and the one of the tests
		// (see folder drill). Its machine's folder is $MACHINE_NAME, its data directory $AGENT_NAME (dashes become underscores).
		"agent": enrolled(roleTerminal),
		// nes-host SITE NAME: the same on a simulated NES host, which calls itself NAME.example.
		"nes-host": enrolled(roleNESHost),
		// stop-agent NAME, start-agent NAME: the agent ends gracefully; it starts again with the same data, and is online.
		"stop-agent": of(func(a *agent) {
			a.process.signal(os.Interrupt)
			a.process.awaitExit()
			f.awaitOffline(a.name)
		}),
		"start-agent": of(func(a *agent) {
			a.start()
			f.awaitOnline(a.name)
		}),
		// kill-agent NAME: the agent ends as by a power cut.
		"kill-agent": of(func(a *agent) { a.process.kill() }),
	}
}
