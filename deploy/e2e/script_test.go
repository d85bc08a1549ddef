package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bandfleet/bandfleet/proto/identity"
)

// TestScripts runs testdata/*.txtar. Each has a server of its own and the administrator's context in $FLEETCTL_CONFIG; $ADDR is
// the server's address, $PLUGINS the folder of plugins, $DATA the server's data. See scriptCommands for the commands.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts in testdata (%v)", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			t.Parallel()
			runScript(t, script)
		})
	}
}

func runScript(t *testing.T, script string) {
	f := startFleet(t, "127.0.0.1")
	testscript.Run(t, testscript.Params{
		Files: []string{script},
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", programs+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("FLEETCTL_CONFIG", f.context())
			env.Setenv("ADDR", f.addr)
			env.Setenv("PLUGINS", program("plugins"))
			env.Setenv("DATA", f.dataDir)
			// A script that fails midway must not leave the services of its own machine behind; most scripts have none.
			env.Defer(func() {
				_ = exec.Command(program("fleet-agent"), "sim", "stop", filepath.Join(env.WorkDir, "machine")).Run()
			})
			return nil
		},
		Cmds: scriptCommands(f),
	})
}

func scriptCommands(f *fleet) map[string]func(*testscript.TestScript, bool, []string) {
	agents := map[string]*agent{}
	return map[string]func(*testscript.TestScript, bool, []string){
		// agent SITE NAME: a simulated terminal with an enrolled agent, online. Its machine's folder is $MACHINE_NAME, its data
		// directory $AGENT_NAME (dashes become underscores).
		"agent": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 2 {
				ts.Fatalf("usage: agent SITE NAME")
			}
			a := f.newAgent(args[0], args[1])
			agents[args[1]] = a
			ts.Setenv("MACHINE_"+strings.ReplaceAll(args[1], "-", "_"), a.machine)
			ts.Setenv("AGENT_"+strings.ReplaceAll(args[1], "-", "_"), a.dataDir)
		},
		// exits CODE PROGRAM ARG...: runs a program, which must end with this exit code.
		"exits": exits,
		// eventually PROGRAM ARG...: runs a program until it succeeds.
		"eventually": eventuallySucceeds,
		// keep NAME: sets $NAME to what the last program printed.
		"keep": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 1 {
				ts.Fatalf("usage: keep NAME")
			}
			ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
		},
		// stop-server, start-server: the server ends gracefully; it starts again with the same data.
		"stop-server": func(_ *testscript.TestScript, _ bool, _ []string) {
			f.server.signal(os.Interrupt)
			f.server.awaitExit()
		},
		"start-server": func(_ *testscript.TestScript, _ bool, _ []string) { f.start() },
		// stop-agent NAME: the agent ends gracefully.
		"stop-agent": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 1 || agents[args[0]] == nil {
				ts.Fatalf("usage: stop-agent NAME, of one that `agent` started")
			}
			agents[args[0]].process.signal(os.Interrupt)
			agents[args[0]].process.awaitExit()
		},
		// token-id TOKEN: sets $TOKEN_ID to the token's id.
		"token-id": func(ts *testscript.TestScript, _ bool, args []string) {
			ts.Setenv("TOKEN_ID", parseToken(ts, args).ID)
		},
		// foreign-token TOKEN: sets $FOREIGN to the same token with another fleet's CA in it.
		"foreign-token": func(ts *testscript.TestScript, _ bool, args []string) {
			token := parseToken(ts, args)
			token.CA[0] ^= 0xff
			ts.Setenv("FOREIGN", token.Text())
		},
		// flip FILE: damages a file in its middle.
		"flip": flip,
	}
}

func parseToken(ts *testscript.TestScript, args []string) identity.Token {
	if len(args) != 1 {
		ts.Fatalf("usage: token-id TOKEN, foreign-token TOKEN")
	}
	token, err := identity.ParseToken(args[0])
	ts.Check(err)
	return token
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d, of: %s\nstdout: %s\nstderr: %s", got, want, strings.Join(args[1:], " "), ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

func eventuallySucceeds(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(longEnough)
	for ts.Exec(args[0], args[1:]...) != nil {
		if time.Now().After(deadline) {
			ts.Fatalf("did not succeed within %v: %s\n%s", longEnough, strings.Join(args, " "), ts.ReadFile("stderr"))
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func flip(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: flip FILE")
	}
	path := ts.MkAbs(args[0])
	content, err := os.ReadFile(path)
	ts.Check(err)
	// Both of bbolt's meta pages name it by checksum, so neither is believed any more.
	for _, at := range []int{40, 4096 + 40} {
		content[at] ^= 0xff
	}
	ts.Check(os.WriteFile(path, content, 0o600))
}
