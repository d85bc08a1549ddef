//go:build real

package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	// share is where software distribution has the releases.
	share       = `C:\distribution share`
	installLog  = `C:\ProgramData\Bandfleet\agent\install.log`
	programDir  = `C:\Program Files\Bandfleet`
	installData = `C:\ProgramData\Bandfleet\agent`
)

// installer runs the scripts of releases as software distribution does.
type installer struct {
	*windowsMachine
	t *testing.T
}

// newInstaller makes a Windows machine, and the releases v1, v2 and one that does not come up on a share of it.
func newInstaller(t *testing.T) *installer {
	t.Helper()
	i := &installer{newWindowsMachine(t), t}
	for _, version := range []string{"v1", "v2"} {
		dir := i.prefix.Path(share + `\` + version)
		buildRelease(t, dir, version, []string{"GOOS=windows", "GOARCH=amd64"}, "./agent/cmd/fleet-agent")
		for _, script := range []string{"install.cmd", "uninstall.cmd"} {
			must(t, i.prefix.Copy("../windows/"+script, share+`\`+version+`\`+script))
		}
	}
	broken := i.prefix.Path(`C:\broken`)
	buildRelease(t, broken, "broken", []string{"GOOS=windows", "GOARCH=amd64"}, "./deploy/e2e/stillborn")
	must(t, os.Rename(filepath.Join(broken, "stillborn.exe"), filepath.Join(broken, "fleet-agent.exe")))
	return i
}

// buildRelease builds an agent's program and its plugins into a folder; no two versions have the same files.
func buildRelease(t *testing.T, dir, version string, env []string, program string) {
	t.Helper()
	mustBuild(t, env, "go", "build", "-trimpath", "-ldflags", "-X main.version="+version, "-o", dir+"/", program)
	// A plugin tells its version, too, and the one that describes it for the lock file is of none.
	mustBuild(t, env, "go", "build", "-trimpath", "-ldflags", "-buildid="+version, "-o", dir+"/plugins/", "./plugins/endpoint")
	mustBuild(t, nil, programs+"/fleet-agent", "plugins", "lock", dir+"/plugins", "--describe-from", programs+"/plugins")
}

// script runs a script of a release on the share, and returns its exit code and what it wrote.
func (i *installer) script(release, name string, args ...string) (int, string) {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(background(), 2*stepTimeout)
	defer cancel()
	out, err := i.prefix.Run(ctx, "cmd", append([]string{"/c", share + `\` + release + `\` + name}, args...)...)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		i.t.Fatalf("%s of %s: %v\n%s", name, release, err, out)
	}
	if exit == nil {
		return 0, out
	}
	return exit.ExitCode(), out
}

// wants runs a script, which must end with a code and say something.
func (i *installer) wants(code int, said, release, name string, args ...string) {
	i.t.Helper()
	if got, out := i.script(release, name, args...); got != code || !strings.Contains(out, said) {
		i.t.Fatalf("%s of %s %q: exit code %d, want %d and that it says %q:\n%s", name, release, args, got, code, said, out)
	}
}

func (i *installer) exists(path string) bool {
	_, err := os.Stat(i.prefix.Path(path))
	return err == nil
}

// nothingInstalled checks that a machine is as it was.
func (i *installer) nothingInstalled(when string) {
	i.t.Helper()
	if i.exists(programDir) || i.exists(programDir+".new") {
		i.t.Errorf("%s: programs are left in %s, want nothing", when, programDir)
	}
	if out, err := i.prefix.Run(background(), "sc", "query", agentServiceKey); err == nil && strings.Contains(out, "STATE") {
		i.t.Errorf("%s: the service is there, want none:\n%s", when, out)
	}
}

// tokenFile writes a token where the machine reads it.
func (i *installer) tokenFile(name, token string) string {
	i.t.Helper()
	path := `C:\tokens\` + name
	must(i.t, i.prefix.Write(path, []byte(token+"\r\n")))
	return path
}

// forged is a token that looks right, with the secret of another one.
func (f *fleet) forged(site string) string {
	parts, other := strings.Split(f.token(site), "."), strings.Split(f.token(site), ".")
	parts[2] = other[2]
	return strings.Join(parts, ".")
}

// runsVersion waits until the server hears of an agent of a version.
func (f *fleet) runsVersion(terminal, version string) {
	f.t.Helper()
	eventually(f.t, terminal+" is online with agent "+version, func() bool {
		return f.isThere(terminal, "online") && strings.Contains(f.mustCtl("get", "terminals", "-o", "wide"), version)
	})
}

// TestRealWineInstall: what a site's software distribution does to a terminal, from the first installation to the last removal.
func TestRealWineInstall(t *testing.T) {
	f := startFleet(t, "127.0.0.1")
	f.mustCtl("site", "add", "lyon")
	i := newInstaller(t)
	token := f.token("lyon")
	good := i.tokenFile("lyon", token)

	i.wants(6, "", "v1", "install.cmd", "--server", freeAddress(t, "127.0.0.1"), "--token-file", good)
	i.nothingInstalled("without a server")
	i.wants(2, "token", "v1", "install.cmd", "--server", f.addr, "--token-file", i.tokenFile("cut", "bft1.damaged"))
	i.wants(5, "", "v1", "install.cmd", "--server", f.addr, "--token-file", i.tokenFile("forged", f.forged("lyon")))
	i.nothingInstalled("with bad tokens")

	i.wants(0, "is installed (v1", "v1", "install.cmd", "--server", f.addr, "--token-file", good, "--name", "win-3")
	f.runsVersion("win-3", "v1")
	i.wants(0, "nothing was changed", "v1", "install.cmd", "--server", f.addr, "--token-file", `C:\tokens\is-gone-by-now`)
	i.wants(0, "is replaced (v1", "v2", "install.cmd")
	f.runsVersion("win-3", "v2")
	i.start(t)
	f.mustCtl("fix", "ble-restart", "--terminal", "win-3", "--yes", "--param", "stable_for=10s")

	i.wants(7, "runs again", "v2", "install.cmd", "--from", `C:\broken`)
	f.runsVersion("win-3", "v2")
	i.wants(0, "nothing was changed", "v2", "install.cmd")
	i.noTokenIn(installLog, strings.Split(token, ".")[2])

	i.wants(0, "not installed any more", "v1", "uninstall.cmd")
	f.awaitOffline("win-3")
	i.nothingInstalled("after the removal")
	i.wants(0, "", "v1", "install.cmd")
	f.awaitOnline("win-3")
	i.wants(0, "", "v1", "uninstall.cmd", "--purge")
	if i.exists(installData) {
		t.Errorf("%s is left after a purge, want it gone", installData)
	}
	i.wants(0, "", "v1", "uninstall.cmd", "--purge")
}

// noTokenIn checks that the log tells of the installations and holds no token.
func (i *installer) noTokenIn(log, secret string) {
	i.t.Helper()
	text, err := os.ReadFile(i.prefix.Path(log))
	if err != nil {
		i.t.Fatal(err)
	}
	if !strings.Contains(string(text), "installation done") || strings.Contains(string(text), secret) {
		i.t.Errorf("the log tells nothing, or holds the secret of a token:\n%s", text)
	}
}

// TestRealSystemdInstall: the same on a thin client with systemd.
func TestRealSystemdInstall(t *testing.T) {
	m := newLinuxMachine(t, 3)
	f := startFleet(t, m.network.Near)
	f.mustCtl("site", "add", "lyon")
	for _, version := range []string{"v1", "v2"} {
		buildRelease(t, filepath.Join(m.shared, version), version, nil, "./agent/cmd/fleet-agent")
	}
	broken := filepath.Join(m.shared, "broken")
	buildRelease(t, broken, "broken", nil, "./deploy/e2e/stillborn")
	must(t, os.Rename(filepath.Join(broken, "stillborn"), filepath.Join(broken, "fleet-agent")))
	must(t, os.WriteFile(filepath.Join(m.shared, "token"), []byte(f.token("lyon")), 0o600))
	agentOf := func(version string, args ...string) string {
		return m.run(t, filepath.Join(m.shared, version, "fleet-agent"), append(args, "--program-dir", "/usr/local/lib/bandfleet")...)
	}

	agentOf("v1", "install", "--server", f.addr, "--token-file", filepath.Join(m.shared, "token"), "--name", "thin-3")
	f.runsVersion("thin-3", "v1")
	if out := agentOf("v1", "install"); !strings.Contains(out, "nothing was changed") {
		t.Errorf("the second time it says %q, want that nothing was changed", out)
	}
	agentOf("v2", "install")
	f.runsVersion("thin-3", "v2")
	f.mustCtl("fix", "ble-restart", "--terminal", "thin-3", "--yes", "--param", "stable_for=10s")

	ctx, cancel := context.WithTimeout(background(), stepTimeout)
	defer cancel()
	out, err := m.container.Run(ctx, filepath.Join(m.shared, "v2", "fleet-agent"), "install", "--from", broken, "--program-dir", "/usr/local/lib/bandfleet")
	if err == nil || !strings.Contains(out, "runs again") {
		t.Errorf("a release that does not come up: %v, %q; want that the one before it runs again", err, out)
	}
	f.runsVersion("thin-3", "v2")
	for range 2 {
		agentOf("v2", "uninstall", "--purge")
	}
	f.awaitOffline("thin-3")
	if out, err := m.container.Run(background(), "ls", "/usr/local/lib/bandfleet", "/var/lib/bandfleet-agent"); err == nil {
		t.Errorf("folders are left after a purge, want none: %s", out)
	}
}
