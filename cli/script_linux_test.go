package cli

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"

	"github.com/bandfleet/bandfleet/proto/identity"
)

// TestMain lets scripts run fleetctl as a process of its own: the test binary, under that name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"fleetctl": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			defer stop()
			os.Exit(newApp("1.0.0-test", func() time.Time { return testNow }).run(ctx, os.Args[1:]))
		},
	})
}

// fleetKey is the key of the fake fleet among a script's values.
type fleetKey struct{}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setupScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fleet": cmdFleet,
			"exits": cmdExits,
			"tty":   cmdTTY,
		},
	})
}

func setupScript(e *testscript.Env) error {
	f, err := startFakeFleet(e.WorkDir)
	if err != nil {
		return err
	}
	e.Defer(f.server.Stop)
	e.Values[fleetKey{}] = f
	e.Setenv("FLEETCTL_CONFIG", e.WorkDir+"/admin.yaml")
	// A process with the race detector sleeps for a second at its end unless told not to.
	e.Setenv("GORACE", "atexit_sleep_ms=0")
	e.Setenv("HOME", e.WorkDir+"/home")
	e.Setenv("XDG_CONFIG_HOME", e.WorkDir+"/home/config")
	return nil
}

// cmdFleet changes the fake fleet:
//
//	fleet outcome TERMINAL WORD    what becomes of its task
//	fleet fault NAME               see fakeFleet.faults
//	fleet rename TERMINAL GO-QUOTED-NAME
//	fleet context FILE NAME HOURS  write a context file whose certificate ends in HOURS after now
//	fleet foreign FILE             write a context file of another fleet's CA
//	fleet stranger FILE            the same, but it trusts this fleet's CA
//	fleet plain FILE ADDRESS       write the administrator's context file with another address
//	fleet many                     add a site with 40 terminals
//	fleet imported FILE            write what the last import brought
//	fleet downloads OFFSET         check where the last download of an artefact began
//	fleet offer-diagnose           offer the action diagnose
//	fleet pfx FILE PASSWORD DAYS   write a PFX whose certificate ends in DAYS after now
//	fleet opened TERMINAL NAME FILE  write what a secret holds, as its terminal opens it
//	fleet stop                     stop serving
func cmdFleet(ts *testscript.TestScript, _ bool, args []string) {
	f := ts.Value(fleetKey{}).(*fakeFleet)
	if args[0] == "stop" {
		f.server.Stop()
		return
	}
	f.state.Lock()
	defer f.state.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	switch args[0] {
	case "outcome":
		f.outcomes[args[1]] = args[2]
	case "offer-diagnose":
		f.actions = append(f.actions, &fleetv1.OfferedAction{Action: fakeDiagnose(), Plugin: "support", PluginVersion: "1.0.0", Terminals: 5})
	case "fault":
		f.faults[args[1]] = true
	case "imported":
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(f.imported), 0o600))
	case "pfx":
		days, err := strconv.Atoi(args[3])
		ts.Check(err)
		file, err := fakePFX(args[2], testNow.AddDate(0, 0, days))
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), file, 0o600))
	case "opened":
		text, err := f.opened(args[1], args[2])
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(args[3]), text, 0o600))
	case "rename":
		name, err := strconv.Unquote(`"` + args[2] + `"`)
		ts.Check(err)
		f.outcomes[name] = f.outcomes[args[1]]
		f.terminal(args[1]).Name = name
	case "downloads":
		if got := f.downloads[len(f.downloads)-1]; strconv.FormatUint(got, 10) != args[1] {
			ts.Fatalf("the last download began at %d, want %s: what is here already must not be fetched again", got, args[1])
		}
	case "many":
		f.addMany("paris", 40)
	case "huge":
		f.addMany("metz", 120)
	case "context":
		hours, err := strconv.Atoi(args[3])
		ts.Check(err)
		ts.Check(f.writeContext(ts.MkAbs(args[1]), args[2], testNow.Add(time.Duration(hours)*time.Hour)))
	case "foreign", "stranger":
		other, err := newFakeCA()
		ts.Check(err)
		trusted := other
		if args[0] == "stranger" {
			trusted = f.ca
		}
		ts.Check(writeFakeContext(ts.MkAbs(args[1]), f.address, trusted, other, "operator/admin", testNow.AddDate(5, 0, 0)))
	case "plain":
		c, err := identity.ReadContext(ts.MkAbs("admin.yaml"))
		ts.Check(err)
		c.Server = args[2]
		ts.Check(identity.WriteContext(ts.MkAbs(args[1]), c))
	default:
		ts.Fatalf("fleet %s is not known", args[0])
	}
}

// cmdExits runs fleetctl and checks its exit code: exits CODE ARGUMENTS...
func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	checkCode(ts, ts.Exec("fleetctl", args[1:]...), want)
}

// checkCode compares exit codes, on which scripts of operators rely.
func checkCode(ts *testscript.TestScript, err error, want int) {
	got := 0
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed):
		got = failed.ExitCode()
	case err != nil:
		ts.Fatalf("fleetctl did not run: %v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d: scripts decide by it", got, want)
	}
}
