package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// readmePort is the port in the README; the test takes a free one in its place, since tests run side by side.
const readmePort = "127.0.0.1:7443"

// TestReadmeQuickStart follows the README word for word: each block is one terminal, the first two stay busy.
func TestReadmeQuickStart(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	q := quickStart{t: t, readme: string(text), dir: t.TempDir(), addr: freeAddress(t, "127.0.0.1")}
	must(t, os.Symlink(programs, filepath.Join(q.dir, "bin")))
	t.Cleanup(func() {
		mustSucceed(t, exec.Command(program("fleet-agent"), "sim", "stop", filepath.Join(q.dir, "try/machine")))
	})

	server := startCommand(t, q.terminal("server"))
	eventually(t, "the server has written the administrator's access", func() bool {
		server.mustRun()
		return runProgram(t, q.shell("bin/fleetctl --config try/server/admin.yaml whoami")).code == 0
	})
	machine := startCommand(t, q.terminal("agent"))
	eventually(t, "the terminal is online", func() bool {
		machine.mustRun()
		o := runProgram(t, q.shell("bin/fleetctl --config try/server/admin.yaml get terminals -o json"))
		return strings.Contains(strings.ReplaceAll(o.stdout, " ", ""), `"online":true`)
	})
	o := runProgram(t, q.terminal("operator"))
	if o.code != 0 {
		t.Fatalf("the support desk's commands: %v", o)
	}
	for _, want := range []string{"line-1", "lyon", "ble-restart"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("the support desk's commands do not show %q:\n%s", want, o.stdout)
		}
	}
	o = runProgram(t, q.terminal("faults"))
	if o.code != 0 {
		t.Fatalf("the commands about faults: %v", o)
	}
	for _, want := range []string{"start-stopped-services", "resolved +line-1 +lyon +The Nymi Bluetooth Endpoint does not run", "Which number is shown with it"} {
		if !regexp.MustCompile(want).MatchString(o.stdout) {
			t.Errorf("the commands about faults do not show %q:\n%s", want, o.stdout)
		}
	}
}

type quickStart struct {
	t                 *testing.T
	readme, dir, addr string
}

// terminal prepares the block of the README that is marked with a name.
func (q quickStart) terminal(name string) *exec.Cmd {
	q.t.Helper()
	block := regexp.MustCompile("(?s)<!-- quick start: " + name + " -->\n```sh\n(.*?)```").FindStringSubmatch(q.readme)
	if block == nil {
		q.t.Fatalf("the README has no quick start block for %q", name)
	}
	// The last command takes the shell's place, so that a signal reaches it. `make build` was done by TestMain.
	script := strings.Replace(block[1], "make build\n", "", 1)
	lines := strings.Split(strings.TrimSpace(script), "\n")
	lines[len(lines)-1] = "exec " + lines[len(lines)-1]
	return q.shell(strings.Join(lines, "\n"))
}

func (q quickStart) shell(script string) *exec.Cmd {
	cmd := exec.Command("bash", "-euc", strings.ReplaceAll(script, readmePort, q.addr))
	cmd.Dir = q.dir
	return cmd
}
