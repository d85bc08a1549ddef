package sim

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sample"
)

// Options are choices at the making of a simulated terminal.
type Options struct {
	// Hostname is what the machine calls itself; empty: the name of the directory.
	Hostname string
	// AgentPort is the loopback port of the Nymi Agent; 0: a free one.
	AgentPort int
	// Services are display names of further services, for tests.
	Services []string
	// Tools are names of further programs of the allow-list, for tests.
	Tools []string
	// Role is RoleUserTerminal (or empty) or RoleNESHost.
	Role string
}

// Roles of simulated machines.
const (
	RoleUserTerminal = "user-terminal"
	RoleNESHost      = "nes-host"
)

// startPatience bounds the first start of the services.
const startPatience = 30 * time.Second

// Init makes a healthy simulated machine in dir, which must be empty or not there yet. On a user terminal both Nymi services run, the
// adapter is present, the endpoint is configured; on a NES host the web server serves its applications with a certificate of a sample
// authority. The services keep running after the program ends, until Shutdown.
func Init(dir string, o Options) error {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := checkEmpty(dir); err != nil {
		return err
	}
	t := &terminal{dir: absolute, settings: settings{
		Version: layoutVersion, Hostname: o.Hostname, AgentPort: o.AgentPort, Services: o.Services,
	}}
	if t.Hostname == "" {
		t.Hostname = filepath.Base(absolute)
	}
	if err := t.chooseRole(o.Role); err != nil {
		return err
	}
	if err := t.create(o.Tools); err != nil {
		return fmt.Errorf("simulated terminal %q: %w", dir, err)
	}
	return t.startAll()
}

// chooseRole sets what depends on the role.
func (t *terminal) chooseRole(role string) error {
	var err error
	switch role {
	case "", RoleUserTerminal:
		if t.AgentPort == 0 {
			t.AgentPort, err = freePort()
		}
		return err
	case RoleNESHost:
		t.Role, t.AgentPort = role, 0
		if t.HTTPPort, err = freePort(); err != nil {
			return err
		}
		t.HTTPSPort, err = freePort()
		return err
	}
	return fmt.Errorf("role %q: use %s or %s", role, RoleUserTerminal, RoleNESHost)
}

// checkEmpty refuses a directory with something in it.
func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("directory %q: is not empty: name a new one", dir)
	}
	return nil
}

// create writes the machine's files. The one that makes it a simulated terminal comes last.
func (t *terminal) create(tools []string) error {
	for _, name := range tools {
		if err := t.addTool(name); err != nil {
			return err
		}
	}
	for _, s := range t.services() {
		if err := os.MkdirAll(s.file("."), 0o700); err != nil {
			return err
		}
	}
	for name, record := range map[string]any{
		detailFile: t.newDetail(), powerFile: newPower(), featuresFile: newFeatures(),
	} {
		if err := writeJSON(filepath.Join(t.dir, name), record); err != nil {
			return err
		}
	}
	values := map[string]string{`software\`: ""} // a key that every machine has
	fill := func() error { return t.createTerminal(values) }
	if t.isNES() {
		fill = t.createNES
	}
	if err := errors.Join(fill(), writeJSON(filepath.Join(t.dir, registryFile), values)); err != nil {
		return err
	}
	return writeJSON(filepath.Join(t.dir, terminalFile), t.settings)
}

// createTerminal writes what a user terminal has.
func (t *terminal) createTerminal(values map[string]string) error {
	files := sample.TerminalLogs(simulatedUser)
	files[host.EndpointRoot+"/nbe.toml"] = t.endpointConfig()
	files[host.EndpointRoot+"/nbe.default.toml"] = t.endpointConfig()
	if err := t.writeFiles(files); err != nil {
		return err
	}
	setValue(values, `SOFTWARE\Nymi\NES`, "URL", "https://nes.example/nes/")
	if err := errors.Join(t.addTool(FirmwareLogTool), t.addTool(RuntimeInstaller)); err != nil {
		return err
	}
	return t.setAdapter(adapterRecord{Present: true})
}

// writeFiles writes files by root and path, with the folders that they need.
func (t *terminal) writeFiles(files map[string]string) error {
	roots := t.roots()
	for name, content := range files {
		root, path, _ := strings.Cut(name, "/")
		file := filepath.Join(roots[root], filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// simulatedUser is whose profile a simulated terminal has.
const simulatedUser = "operator"

// logFolder is where the Nymi Band Application of one user writes its logs (guide: collecting logs).
func logFolder() string {
	return filepath.Join("Users", simulatedUser, "AppData", "Roaming", "Nymi", "NEM", "Logs")
}

// startAll starts the services, the Nymi Agent first.
func (t *terminal) startAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	for _, s := range t.services() {
		if err := (services{t}).Start(ctx, s.name); err != nil {
			return fmt.Errorf("simulated terminal %q: %w", t.dir, err)
		}
	}
	return nil
}

// endpointConfig is the endpoint's configuration with the vendor's keys and defaults (guide: nbe.toml).
func (t *terminal) endpointConfig() string {
	const config = `# Configuration of the Nymi Bluetooth Endpoint (simulated).
# The endpoint reads this file when it starts.

# The Nymi Agent that this endpoint serves.
agent_url = "ws://ADDRESS/socket/websocket"

# Bluetooth tap: how many signal readings must be at least as strong as the threshold (dBm; 0 switches tap off).
rssi_window_tap = 10
rssi_tap_threshold = 0

# Presence: how many readings are averaged, and the strengths (dBm) that count as near and as gone.
rssi_window_long = 50
rssi_cutoff_close = -70
rssi_cutoff_far = -75
`
	return strings.Replace(config, "ADDRESS", loopback(t.AgentPort), 1)
}

// freePort finds a loopback port that nobody listens on, below those that the system hands out to connections, so that it is
// still free when the service restarts.
func freePort() (int, error) {
	const lowest, count, attempts = 20000, 12000, 100
	for range attempts {
		offset, err := rand.Int(rand.Reader, big.NewInt(count))
		if err != nil {
			return 0, err
		}
		port := lowest + int(offset.Int64())
		listener, err := net.Listen("tcp", loopback(port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("no free port between %d and %d", lowest, lowest+count)
}
