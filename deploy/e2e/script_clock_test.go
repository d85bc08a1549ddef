package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// clockCommand is the command that needs a server with a clock that can be set.
const clockCommand = "server-clock"

// fleetFor starts the server that a script asks for. clock is the file with the error of its clock; empty when it goes right.
func fleetFor(t *testing.T, script string) (f *fleet, clock string) {
	t.Helper()
	text, err := os.ReadFile(script)
	must(t, err)
	if strings.Contains(string(text), "\n"+clockCommand+" ") {
		return newClockedFleet(t)
	}
	return startFleet(t, "127.0.0.1"), ""
}

// clockCommands set the server's clock.
func clockCommands(clock string) map[string]command {
	return map[string]command{
		// server-clock AHEAD: the server's clock is so far ahead of the machine's from now on.
		clockCommand: func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 1 {
				ts.Fatalf("usage: server-clock AHEAD")
			}
			ts.Check(os.WriteFile(clock, []byte(args[0]), 0o600))
		},
	}
}
