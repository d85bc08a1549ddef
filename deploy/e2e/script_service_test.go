package e2e

import (
	"encoding/json"
	"os"

	"github.com/rogpeppe/go-internal/testscript"
)

// serviceCommands do to a simulated machine's services what nobody asked for.
func serviceCommands() map[string]command {
	return map[string]command{
		// crash MACHINE SERVICE: the process of a service is killed, as by a fault of its own.
		"crash": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 2 {
				ts.Fatalf("usage: crash MACHINE SERVICE")
			}
			process, err := os.FindProcess(serviceOf(ts, args[0], args[1]).PID)
			ts.Check(err)
			ts.Check(process.Kill())
		},
	}
}

// serviceOf is a service of a simulated machine, which must run.
func serviceOf(ts *testscript.TestScript, machine, name string) simService {
	ts.Check(ts.Exec("fleet-agent", "sim", "show", machine))
	var shown struct {
		Services []simService `json:"services"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &shown))
	for _, s := range shown.Services {
		if s.Name == name && s.PID > 0 {
			return s
		}
	}
	ts.Fatalf("%s does not run on %s, want it to", name, machine)
	return simService{}
}
