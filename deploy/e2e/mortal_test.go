package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// The environment variables that only programs with the tag killpoints know: the point at which to die, and the file with the error
// of the server's clock.
const (
	killpointVariable = "BANDFLEET_KILLPOINT"
	clockVariable     = "BANDFLEET_CLOCK_ERROR"
)

// buildOf is a set of programs: a folder with fleetd and fleet-agent in it, and their plugins. The zero value is what `make build`
// builds.
type buildOf struct{ dir string }

func (b buildOf) program(name string) string {
	if b.dir == "" {
		return program(name)
	}
	return filepath.Join(b.dir, name)
}

// mortal builds, once for all tests, the programs that can be killed at a named point, and with them the plugin that counts.
var mortal = sync.OnceValues(func() (buildOf, error) {
	b := buildOf{filepath.Join(filepath.Dir(programs), "mortal")}
	steps := [][]string{
		{"go", "build", "-trimpath", "-tags", "killpoints", "-o", b.dir + "/", "./server/cmd/fleetd", "./agent/cmd/fleet-agent"},
		{"go", "build", "-trimpath", "-o", b.program("plugins") + "/", "./plugins/endpoint", "./plugins/certs", "./plugins/firmware", "./deploy/faults/testaction"},
		{program("fleet-agent"), "plugins", "lock", b.program("plugins")},
	}
	for _, step := range steps {
		if err := build(nil, step...); err != nil {
			return buildOf{}, err
		}
	}
	return b, nil
})

// startMortalFleet starts a server that dies at a point; empty for one that does not.
func startMortalFleet(t *testing.T, killAt string) *fleet {
	t.Helper()
	b, err := mortal()
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, dataDir: filepath.Join(t.TempDir(), "server"), addr: freeAddress(t, "127.0.0.1"), build: b, killAt: killAt}
	f.start()
	return f
}

// under prepares a program that is run by another command, if there is one.
func under(command []string, program string, args ...string) *exec.Cmd {
	all := slices.Concat(command, []string{program}, args)
	return exec.Command(all[0], all[1:]...)
}

// dyingAt is the environment of a program that dies at a point, if any.
func dyingAt(point string, more ...string) []string {
	return append(append(os.Environ(), killpointVariable+"="+point), more...)
}

// TestKillPointsAreNotInWhatPeopleRun: nobody can have a server or an agent die at a point that the program does not know.
func TestKillPointsAreNotInWhatPeopleRun(t *testing.T) {
	t.Parallel()
	b, err := mortal()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ program, variable string }{
		{"fleetd", killpointVariable}, {"fleetd", clockVariable}, {"fleet-agent", killpointVariable},
	} {
		for path, want := range map[string]bool{program(c.program): false, b.program(c.program): true} {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := bytes.Contains(content, []byte(c.variable)); got != want {
				t.Errorf("%s knows %s: %v, want %v", path, c.variable, got, want)
			}
		}
	}
}
