package e2e

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bandfleet/bandfleet/proto/catalogue"
)

// hall is one server with its people, under which each proof has a site of its own.
type hall struct {
	fleet  *fleet
	people *people
	sites  atomic.Int32
}

func newHall(t *testing.T) *hall {
	f := startFleet(t, "127.0.0.1")
	return &hall{fleet: f, people: f.newPeople()}
}

// world is a site with the machines of one proof. Without its cause nothing is wrong there.
type world struct {
	t    *testing.T
	hall *hall
	site string
	// terminal is nil when the proof is of a NES host alone, and nes when no NES host is needed.
	terminal, nes *agent
}

// stage is which machines a proof needs.
type stage struct{ terminal, nes bool }

func (h *hall) newWorld(t *testing.T, s stage) *world {
	t.Helper()
	w := &world{t: t, hall: h, site: h.newSite()}
	h.fleet.mustCtl("site", "set", w.site, "--nbe", "rssi_tap_threshold=-42", "--nbe", "rssi_cutoff_close=-70", "--nbe", "rssi_cutoff_far=-75")
	if s.nes {
		w.nes = w.machine("nes", roleNESHost)
		h.fleet.mustCtl("site", "set", w.site, "--nes-host", w.nes.name+"="+w.nesURL(), "--approve-root", "Root="+w.rootFile())
	}
	if s.terminal {
		w.terminal = w.machine("line", roleTerminal)
	}
	for _, a := range []*agent{w.nes, w.terminal} {
		if a != nil {
			a.start()
			h.fleet.awaitOnline(a.name)
		}
	}
	return w
}

// newSite adds a site.
func (h *hall) newSite() string {
	site := fmt.Sprintf("proof-%d", h.sites.Add(1))
	h.fleet.mustCtl("site", "add", site)
	return site
}

func (w *world) nesURL() string { return "https://" + w.nes.name + ".example/nes/" }

// rootFile is the root of the NES host's authority.
func (w *world) rootFile() string { return filepath.Join(w.nes.machine, "authority", "root.pem") }

// machine makes a healthy machine whose agent is enrolled and does not run yet.
func (w *world) machine(kind, role string) *agent {
	w.t.Helper()
	f, dir := w.hall.fleet, w.t.TempDir()
	a := &agent{t: w.t, name: kind + "-" + w.site, dataDir: filepath.Join(dir, "agent"), machine: filepath.Join(dir, "machine"), role: role, flags: []string{"--look-every", "2s"}}
	mustRun(w.t, program("fleet-agent"), "sim", "init", a.machine, "--role", role, "--hostname", a.name+".example")
	w.t.Cleanup(func() { mustRun(w.t, program("fleet-agent"), "sim", "stop", a.machine) })
	for _, file := range []string{logOf("nem"), logOf("nymi-api"), logOf("credential-provider"), logOf("nes-install"), logOf("nes-service"), logOf("authentication")} {
		emptied(w.t, filepath.Join(a.machine, file))
	}
	w.sim(a, "reboot", "ends-agent")
	if role == roleTerminal {
		w.heal(a)
	} else {
		w.editFile(a, authConfig, sampleAuthURL, "https://"+a.name+".example/authenticationservice/")
	}
	f.enrolProof(a, w.site)
	return a
}

// heal puts right what a new simulated terminal has not.
func (w *world) heal(a *agent) {
	w.sim(a, "usb-suspend", "off")
	w.editFile(a, nbeFile, "rssi_tap_threshold = 0", "rssi_tap_threshold = -42")
	if w.nes != nil {
		w.sim(a, "reach", w.nes.machine)
		w.sim(a, "trust", w.nes.machine)
		w.sim(a, "nes-url", w.nesURL())
	}
}

func (f *fleet) enrolProof(a *agent, site string) {
	a.t.Helper()
	mustRun(a.t, program("fleet-agent"), "enroll", "--data-dir", a.dataDir, "--server", f.addr, "--token", f.tokenFor(site, cmp.Or(a.role, roleTerminal)),
		"--plugins", program("plugins"), "--name", a.name, "--host", "sim:"+a.machine)
}

// revive starts the agents again that ended with their machine.
func (w *world) revive() {
	for _, a := range []*agent{w.nes, w.terminal} {
		if a == nil {
			continue
		}
		select {
		case <-a.process.ended:
			a.start()
		default:
		}
	}
}

// sim changes a machine.
func (w *world) sim(a *agent, set ...string) {
	w.t.Helper()
	mustRun(w.t, program("fleet-agent"), append([]string{"sim", "set", a.machine}, set...)...)
}

// nbeFile is nbe.toml of a simulated terminal.
const nbeFile = "endpoint/nbe.toml"

// editFile replaces a text of a file of a machine.
func (w *world) editFile(a *agent, file, old, text string) {
	w.t.Helper()
	path := filepath.Join(a.machine, file)
	content, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	if !strings.Contains(string(content), old) {
		w.t.Fatalf("%s does not hold %q, want it to be replaced:\n%s", file, old, content)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(content), old, text)), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// logOf is a log file of a class on a simulated machine.
func logOf(class string) string {
	return map[string]string{
		"nem":                 "Users/operator/AppData/Roaming/Nymi/NEM/Logs/nem.log",
		"nymi-api":            "Users/operator/AppData/Roaming/Nymi/NEM/Logs/nymi_api.log",
		"credential-provider": "Users/Public/AppData/Nymi/unlock/Log/credential-provider.log",
		"nes-install":         "ProgramData/Nymi/NESg2.install/log/install.log",
		"nes-service":         "ProgramData/Nymi/NESg2.Admin/Default_Web_Site/nes_lyon/log/nes.log",
		"authentication":      "ProgramData/Nymi/AuthenticationService/Default_Web_Site/nes_lyon_AS/log/authentication.log",
	}[class]
}

// emptied empties a file, if it is there: what a sample machine has in its logs is no fault of a proof's.
func emptied(t *testing.T, file string) {
	t.Helper()
	if _, err := os.Stat(file); err != nil {
		return
	}
	if err := os.Truncate(file, 0); err != nil {
		t.Fatal(err)
	}
}

// says has a program of the machine write lines to its log, some time after the agent has begun to look.
func (w *world) says(class string, lines ...string) {
	w.t.Helper()
	file, err := os.OpenFile(filepath.Join(w.machineOf(class).machine, logOf(class)), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	defer file.Close()
	for _, line := range lines {
		if _, err := fmt.Fprintf(file, "ERROR - %s\r\n", line); err != nil {
			w.t.Fatal(err)
		}
	}
}

// machineOf is the machine that has a class of log files.
func (w *world) machineOf(class string) *agent {
	if classTarget(class) == catalogue.NESHost {
		return w.nes
	}
	return w.terminal
}

func classTarget(class string) catalogue.Target {
	for _, c := range catalogue.Classes() {
		if c.Name == class {
			return c.Target
		}
	}
	return ""
}
