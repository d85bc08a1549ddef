package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// programs is where TestMain put what `make build` puts into bin/.
var programs string

// atOnce is how many tests run at once unless -parallel says otherwise. They wait for machines much more than they compute, so the
// number of cores, which is the default, leaves most of the time unused.
const atOnce = 6

func TestMain(m *testing.M) {
	flag.Parse()
	if !isGiven("test.parallel") {
		_ = flag.Set("test.parallel", strconv.Itoa(atOnce)) // a number, of a flag that there is
	}
	os.Exit(buildAndRun(m))
}

func isGiven(name string) (given bool) {
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	return given
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "bandfleet-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	programs = filepath.Join(dir, "bin")
	if err := buildPrograms(programs); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return m.Run()
}

// buildPrograms does what `make build` does, without make, and makes the tests' own plugins: one that writes much, and one for
// scripts beside the product's.
func buildPrograms(bin string) error {
	steps := [][]string{
		{"go", "build", "-trimpath", "-o", bin + "/", "./server/cmd/fleetd", "./agent/cmd/fleet-agent", "./cli/cmd/fleetctl"},
		{"go", "build", "-trimpath", "-o", bin + "/plugins/", "./plugins/endpoint", "./plugins/terminal", "./plugins/firmware", "./plugins/certs", "./plugins/nes", "./plugins/support"},
		{filepath.Join(bin, "fleet-agent"), "plugins", "lock", filepath.Join(bin, "plugins")},
		{"go", "build", "-trimpath", "-o", bin + "/chatty/", "./deploy/e2e/chatty"},
		{filepath.Join(bin, "fleet-agent"), "plugins", "lock", filepath.Join(bin, "chatty")},
		{"go", "build", "-trimpath", "-o", bin + "/drills/", "./plugins/endpoint", "./plugins/terminal", "./plugins/firmware", "./plugins/certs", "./plugins/nes", "./plugins/support", "./deploy/e2e/drill"},
		{filepath.Join(bin, "fleet-agent"), "plugins", "lock", filepath.Join(bin, "drills")},
	}
	for _, step := range steps {
		if err := build(nil, step...); err != nil {
			return err
		}
	}
	return nil
}

// build runs a command at the top of the repository.
func build(env []string, command ...string) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = "../.."
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, out)
	}
	return nil
}

func program(name string) string { return filepath.Join(programs, name) }
