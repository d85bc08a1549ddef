package e2e

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	f, clock := fleetFor(t, script)
	commands := scriptCommands(f)
	maps.Copy(commands, clockCommands(clock))
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
		Cmds: commands,
	})
}

// command is what a script may say; negated with `!` in front, which none of these makes use of.
type command = func(ts *testscript.TestScript, negated bool, args []string)

// scriptCommands are the commands of scripts: those here, and those of the files script_*_test.go.
func scriptCommands(f *fleet) map[string]command {
	all := map[string]command{
		// exits CODE PROGRAM ARG...: runs a program, which must end with this exit code.
		"exits": exits,
		// eventually PROGRAM ARG...: runs a program until it succeeds.
		"eventually": eventuallySucceeds,
		// shows TEXT PROGRAM ARG...: runs a program until it prints what the regular expression TEXT matches, whatever its exit code.
		"shows": eventuallyShows,
		// keep NAME: sets $NAME to what the last program printed.
		"keep": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 1 {
				ts.Fatalf("usage: keep NAME")
			}
			ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
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
		// clock NAME OFFSET LAYOUT: sets $NAME to the time in UTC so far from now, in a layout of Go's package time.
		"clock": clock,
		// flip FILE: damages a file in its middle.
		"flip": flip,
		// alter FILE OLD NEW: replaces a text in a file by another one of the same length.
		"alter": alter,
		// agree CSV JSON HTML: three reports of a job tell the same of every terminal.
		"agree": wantAgreeing,
	}
	maps.Copy(all, serverCommands(f))
	maps.Copy(all, agentCommands(f))
	maps.Copy(all, recordCommands(f))
	maps.Copy(all, auditCommands(f))
	maps.Copy(all, serviceCommands())
	maps.Copy(all, servedCommands())
	maps.Copy(all, secretCommands(f))
	maps.Copy(all, leaseCommands(f))
	maps.Copy(all, archiveCommands())
	return all
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

func eventuallyShows(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: shows TEXT PROGRAM ARG...")
	}
	text, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	deadline := time.Now().Add(longEnough)
	for {
		_ = ts.Exec(args[1], args[2:]...) // what it prints is the question, not how it ends
		if text.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("after %v there is still no %q in what is printed by: %s\n%s%s", longEnough, args[0], strings.Join(args[1:], " "), ts.ReadFile("stdout"), ts.ReadFile("stderr"))
		}
		time.Sleep(300 * time.Millisecond)
	}
}

func clock(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: clock NAME OFFSET LAYOUT")
	}
	offset, err := time.ParseDuration(args[1])
	ts.Check(err)
	ts.Setenv(args[0], time.Now().UTC().Add(offset).Format(args[2]))
}
