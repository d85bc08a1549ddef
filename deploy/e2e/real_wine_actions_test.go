//go:build real

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/sample"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

const (
	// lineTerminal and nesHost are the two terminals of the one Windows machine.
	lineTerminal, nesHost = "win-line", "win-nes"
	agentConfig           = `C:\bandfleet\agent.yaml`
	wineNBEFile           = `C:\Nymi\Bluetooth_Endpoint\nbe.toml`
	nesWebConfig          = `C:\nes\web.config`
	toolMode              = `C:\vendor\mode.txt`
)

// windowsFleet is a server and one Windows machine with two agents: a user terminal's and a NES host's.
type windowsFleet struct {
	*fleet
	whole   *testing.T
	machine *windowsMachine
	nes     *nesServer
	// agents are the running agents, by terminal.
	agents map[string]*process
	// toolAddress is where the child of a vendor's tool that hangs listens.
	toolAddress string
}

func newWindowsFleet(t *testing.T) *windowsFleet {
	f := &windowsFleet{whole: t, fleet: startFleet(t, "127.0.0.1"), toolAddress: freeAddress(t, "127.0.0.1"), nes: serveNES(t), agents: map[string]*process{}}
	f.mustCtl("site", "add", "lyon")
	f.mustCtl("site", "set", "lyon", "--nes-host", nesHost+"="+f.nes.url, "--approve-root", "Plant root="+f.nes.rootFile)
	for _, name := range []string{"bob", "eve"} {
		f.mustCtl("operator", "create", name, "--role", "approver", "--site", "lyon", "--out", f.person(name))
	}
	f.machine = newWindowsMachine(t)
	f.configure()
	f.machine.start(t)
	f.run(lineTerminal, roleTerminal)
	f.run(nesHost, roleNESHost)
	return f
}

func (f *windowsFleet) person(name string) string { return filepath.Join(f.dataDir, name+".yaml") }

// configure writes the agents' configuration: the vendor's tool, by its hash, and the folder of a NES application.
func (f *windowsFleet) configure() {
	f.t.Helper()
	m := f.machine.prefix
	tool, err := os.ReadFile(m.Path(vendorTool))
	if err != nil {
		f.t.Fatal(err)
	}
	hash := sha256.Sum256(tool)
	text := fmt.Sprintf("roots:\n  nes: 'C:\\nes'\nprograms:\n  - name: firmware-log-tool\n    path: '%s'\n    sha256: [%s]\n    arguments: [-behaviour, '%s', -listen, '%s']\n",
		vendorTool, hex.EncodeToString(hash[:]), toolMode, f.toolAddress)
	f.write(agentConfig, text)
	f.write(nesWebConfig, sample.WebConfig(sample.NES, sample.Windows()))
}

func (f *windowsFleet) write(path, text string) {
	f.t.Helper()
	if err := f.machine.prefix.Write(path, []byte(text)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *windowsFleet) read(path string) string {
	f.t.Helper()
	text, err := os.ReadFile(f.machine.prefix.Path(path))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

// run enrols an agent of the machine and starts it.
func (f *windowsFleet) run(name, role string) {
	f.t.Helper()
	f.machine.run(f.t, agentProgram, "enroll", "--data-dir", dataOf(name), "--server", f.addr, "--token", f.tokenFor("lyon", role),
		"--plugins", pluginFolder, "--name", name)
	f.startAgent(name)
}

func dataOf(terminal string) string { return `C:\ProgramData\` + terminal }

func (f *windowsFleet) startAgent(name string) {
	f.t.Helper()
	// It outlives the part of the test that starts it.
	f.agents[name] = startCommand(f.whole, f.machine.prefix.Command(background(), agentProgram, "run", "--data-dir", dataOf(name), "--config", agentConfig))
	f.awaitOnline(name)
}

// done runs an action to its end and returns its task.
func (f *windowsFleet) done(action, terminal string, params ...string) *fleetv1.Task {
	f.t.Helper()
	return f.awaitTask(f.ask(action, terminal, params...))
}

// ask starts an action on one terminal and returns the job.
func (f *fleet) ask(action, terminal string, params ...string) string {
	f.t.Helper()
	args := []string{action, "--terminal", terminal, "--reason", "real parts"}
	for _, p := range params {
		args = append(args, "--param", p)
	}
	return f.fix(args...)
}

// approved has the two approvers say yes to a job.
func (f *windowsFleet) approved(job string) string {
	f.t.Helper()
	return f.approvedBy(job, "bob", "eve")
}

func (f *windowsFleet) approvedBy(job string, people ...string) string {
	f.t.Helper()
	for _, name := range people {
		mustRun(f.t, program("fleetctl"), "--config", f.person(name), "job", "approve", job, "--digest", f.job(job).GetApproval().GetDigest(),
			"--reason", "fingerprint compared", "--yes")
	}
	return job
}

// TestRealWineActions: the product's actions, by the real agent and plugins, change a Windows machine: registry, files, certificates, a
// vendor's program.
func TestRealWineActions(t *testing.T) {
	f := newWindowsFleet(t)
	with := func(check func(*windowsFleet)) func(*testing.T) {
		return func(t *testing.T) {
			f.t = t
			check(f)
		}
	}
	defer func() { f.t = t }()
	t.Run("the URL of NES is put back while NES is not trusted", with(urlPutBack))
	t.Run("a root is trusted after two approvals", with(rootTrusted))
	t.Run("the URL of NES is set", with(urlSet))
	t.Run("the certificates are reported", with(certificatesReported))
	t.Run("nbe.toml keeps all its other bytes", with(nbeSet))
	t.Run("logs of a profile are collected", with(logsCollected))
	t.Run("what cannot be told is unknown", with(diagnosed))
	t.Run("the log of a band is fetched", with(bandLogFetched))
	hanging := f.hangs()
	t.Run("the NES host says what it lacks", with(lackingWeb))
	t.Run("a tool that hangs is ended with its child", with(func(f *windowsFleet) { f.endsWithChild(hanging) }))
	t.Run("a tool that was exchanged is refused", with(toolExchanged))
}

const nesURLValue = `HKLM\SOFTWARE\Nymi\NES`

// registryURL is what Windows' own tool says of the URL of NES.
func (f *windowsFleet) registryURL() (string, error) {
	return f.machine.prefix.Run(background(), "reg", "query", nesURLValue, "/v", "URL")
}

func urlPutBack(f *windowsFleet) {
	task := f.done("nes-url-set", lineTerminal, "url="+f.nes.url)
	wantTask(f.t, task, rolledBack, "trust")
	if out, err := f.machine.prefix.Run(background(), "reg", "query", `HKLM\SOFTWARE\Nymi`); err == nil {
		f.t.Errorf("the keys that were made are still there: %s\nwant them removed with the value", out)
	}
}

func urlSet(f *windowsFleet) {
	// A program of Wine sees the stores as they were at its first look. Those of Windows are told of changes.
	f.agents[lineTerminal].kill()
	f.awaitOffline(lineTerminal)
	f.startAgent(lineTerminal)
	wantTask(f.t, f.done("nes-url-set", lineTerminal, "url="+f.nes.url), succeeded, "")
	out, err := f.registryURL()
	if err != nil || !strings.Contains(out, f.nes.url) || !strings.Contains(out, "REG_SZ") {
		f.t.Errorf("reg query: %s, %v; want the text %s", out, err, f.nes.url)
	}
	wantTask(f.t, f.done("nes-url-set", lineTerminal, "url="+f.nes.url), noChange, "")
}

func rootTrusted(f *windowsFleet) {
	job := f.ask("root-cert-install", lineTerminal, "cert=Plant root", "sha256="+f.nes.root.SHA256())
	wantText(f.t, "job why", f.mustCtl("job", "why", job), "others must approve the job")
	wantTask(f.t, f.awaitTask(f.approved(job)), succeeded, "")
	again := f.approved(f.ask("root-cert-install", lineTerminal, "cert=Plant root", "sha256="+f.nes.root.SHA256()))
	wantTask(f.t, f.awaitTask(again), noChange, "")
}

func certificatesReported(f *windowsFleet) {
	wantTask(f.t, f.done("cert-scan", lineTerminal), succeeded, "")
	wantText(f.t, "get trust", f.mustCtl("get", "trust", "--site", "lyon", "-o", "json"), f.nes.root.SHA256())
	wantText(f.t, "get certs", f.mustCtl("get", "certs", "--site", "lyon", "-o", "json"), f.nes.root.SHA256())
}

func nbeSet(f *windowsFleet) {
	const before = "# tuned by Ada\r\n\r\nown_key   = 'x'  # keep\r\nrssi_tap_threshold = 0\t# off\r\nagent_url = \"ws://127.0.0.1:9120/socket/websocket\"\r\n"
	f.write(wineNBEFile, before)
	task := f.done("nbe-config-set", lineTerminal, "rssi_tap_threshold=-42", "stable_for=10s")
	wantTask(f.t, task, succeeded, "")
	if got, want := f.read(wineNBEFile), strings.Replace(before, "= 0\t", "= -42\t", 1); got != want {
		f.t.Errorf("nbe.toml is %q\nwant           %q", got, want)
	}
	wantRestarted(f.t, task)
	f.machine.awaitRunning(f.t)
	kept, err := filepath.Glob(f.machine.prefix.Path(wineNBEFile) + ".*.bak")
	if err != nil || len(kept) != 1 {
		f.t.Fatalf("the earlier nbe.toml is kept as %v (%v), want one file", kept, err)
	}
	if text, err := os.ReadFile(kept[0]); err != nil || string(text) != before {
		f.t.Errorf("what is kept holds %q (%v), want the earlier bytes", text, err)
	}
}

func logsCollected(f *windowsFleet) {
	const text = "2026-11-24 08:00:00 the band did not answer\r\n"
	f.write(`C:\Users\ada\AppData\Roaming\Nymi\NEM\Logs\nem.log`, text)
	job := f.ask("logs-collect", lineTerminal, "include=endpoint-config")
	wantTask(f.t, f.awaitTask(job), succeeded, "")
	files := unzip(f.t, f.fetch(job))
	if got := files["nba/profiles/ada/AppData/Roaming/Nymi/NEM/Logs/nem.log"]; got != text {
		f.t.Errorf("the archive has of the profile's log %q, want %q; it has %v", got, text, names(files))
	}
	wantText(f.t, "the archive's nbe.toml", files["endpoint-config/endpoint/nbe.toml"], "rssi_tap_threshold = -42")
}

// fetch gets the only artefact of a job.
func (f *fleet) fetch(job string) []byte {
	f.t.Helper()
	path := filepath.Join(f.t.TempDir(), "artifact")
	f.mustCtl("artifact", "get", f.awaitArtifact(job).GetId(), "-f", path)
	content, err := os.ReadFile(path)
	if err != nil {
		f.t.Fatal(err)
	}
	return content
}

func diagnosed(f *windowsFleet) {
	wantFindings(f.t, f.done("diagnose", lineTerminal), "GOOD service-endpoint", "GOOD adapter", "GOOD nbe-tap-threshold", "GOOD agent-url-reachable", "GOOD root",
		"UNKNOWN usb-suspend", "UNKNOWN nfc-readers")
}

// begins has the vendor's tool begin to read a band: a person says that the band lies ready.
func (f *windowsFleet) begins(timeout string) (job string) {
	f.t.Helper()
	job = f.ask("firmware-logs-fetch", lineTerminal, "band_serial=AAAH-00125", "timeout="+timeout, "stable_for=10s")
	eventually(f.t, "the person at the terminal is asked", func() bool {
		return f.ctl("job", "confirm", job, lineTerminal, "--note", "it lies there").code == 0
	})
	return job
}

func bandLogFetched(f *windowsFleet) {
	job := f.begins("5m")
	wantTask(f.t, f.awaitTask(job), succeeded, "")
	written, err := filepath.Glob(f.machine.prefix.Path(`C:\vendor\`) + "/band-*.nlg")
	if err != nil || len(written) != 1 {
		f.t.Fatalf("the tool wrote %v (%v), want one file", written, err)
	}
	want, err := os.ReadFile(written[0])
	if got := f.fetch(job); err != nil || !bytes.Equal(got, want) {
		f.t.Errorf("%d bytes were fetched, want the %d that the tool wrote (%v)", len(got), len(want), err)
	}
	f.machine.awaitRunning(f.t)
}

// hangs starts the vendor's tool, which starts a child and waits for it.
func (f *windowsFleet) hangs() (job string) {
	f.t.Helper()
	f.write(toolMode, "hang")
	job = f.begins("1m")
	eventually(f.t, "the tool and its child run", func() bool { return listens(f.toolAddress) })
	return job
}

func (f *windowsFleet) endsWithChild(job string) {
	wantTask(f.t, f.awaitTask(job), failed, "tool")
	if listens(f.toolAddress) {
		f.t.Error("the child of the tool that hung still runs, want the whole tree ended: it would keep the adapter in use")
	}
	f.machine.awaitRunning(f.t)
}

// toolExchanged: what lies under the tool's name is another program, which nobody has approved.
func toolExchanged(f *windowsFleet) {
	f.write(vendorTool, f.read(testService))
	wantTask(f.t, f.done("firmware-logs-fetch", lineTerminal, "band_serial=AAAH-00125"), refused, "is not approved")
}

// lackingWeb: Wine has no IIS. A certificate is sealed to the agent, opened and judged by it there, and then there is nothing to bind it to.
func lackingWeb(f *windowsFleet) {
	identity, err := f.nes.root.Issue(sample.Wanted{Names: []string{"127.0.0.1"}})
	if err != nil {
		f.t.Fatal(err)
	}
	pfx, err := identity.PFX("correct horse")
	if err != nil {
		f.t.Fatal(err)
	}
	f.put("nes.password", []byte("correct horse"))
	f.put("nes.pfx", pfx, "--pfx", "--password-secret", "nes.password", "--password-file", f.secretFile("nes.password", []byte("correct horse")))
	rotate := f.ask("tls-cert-rotate", nesHost, "pfx=secret:nes.pfx", "pfx_password=secret:nes.password", "expected_thumbprint="+identity.SHA256())
	wantTask(f.t, f.awaitTask(f.approvedBy(rotate, "bob")), refused, "has no web server (IIS)")
	bind := f.ask("https-binding-set", nesHost, "thumbprint="+identity.SHA256())
	wantTask(f.t, f.awaitTask(f.approvedBy(bind, "bob")), refused, "is in the store WebHosting or My")
	wantTask(f.t, f.done("verbose-logging", nesHost, "state=on", "ttl=2h"), refused, "has no IIS")
	if strings.Contains(f.server.log.String(), "correct horse") {
		f.t.Error("the server's log holds the password of the PFX")
	}
}

// put seals a secret for the NES host.
func (f *windowsFleet) put(name string, content []byte, flags ...string) {
	f.t.Helper()
	f.mustCtl(append([]string{"secret", "put", name, "--for", nesHost, "--file", f.secretFile(name, content)}, flags...)...)
}

func (f *windowsFleet) secretFile(name string, content []byte) string {
	f.t.Helper()
	path := filepath.Join(f.t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return path
}

func listens(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	return err == nil && c.Close() == nil
}
