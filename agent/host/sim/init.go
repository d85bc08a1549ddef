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
)

// Options are choices at the making of a simulated terminal.
type Options struct {
	// Hostname is what the machine calls itself; empty: the name of the directory.
	Hostname string
	// AgentPort is the loopback port of the Nymi Agent; 0: a free one.
	AgentPort int
	// Services are display names of further services, for tests.
	Services []string
}

// startPatience bounds the first start of the services.
const startPatience = 30 * time.Second

// Init makes a healthy simulated terminal in dir, which must be empty or not there yet: both Nymi services run, the adapter is
// present, the endpoint is configured. The services keep running after the program ends, until Shutdown.
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
	if t.AgentPort == 0 {
		if t.AgentPort, err = freePort(); err != nil {
			return err
		}
	}
	if err := t.create(); err != nil {
		return fmt.Errorf("simulated terminal %q: %w", dir, err)
	}
	return t.startAll()
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

// create writes the terminal's files. The one that makes it a simulated terminal comes last.
func (t *terminal) create() error {
	logs := filepath.Join(t.dir, logFolder())
	folders := []string{filepath.Join(t.dir, endpointFolder), logs}
	for _, s := range t.services() {
		folders = append(folders, s.file("."))
	}
	for _, folder := range folders {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
	}
	files := map[string]string{
		filepath.Join(t.dir, endpointFolder, "nbe.toml"):         t.endpointConfig(),
		filepath.Join(t.dir, endpointFolder, "nbe.default.toml"): t.endpointConfig(),
		filepath.Join(logs, "nem.log"):                           "",
		filepath.Join(logs, "nymi_api.log"):                      "",
	}
	for file, content := range files {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return err
		}
	}
	values := map[string]string{registryName(`SOFTWARE\Nymi\NES`, "URL"): "https://nes.example/nes/"}
	if err := writeJSON(filepath.Join(t.dir, registryFile), values); err != nil {
		return err
	}
	if err := t.setAdapter(true); err != nil {
		return err
	}
	return writeJSON(filepath.Join(t.dir, terminalFile), t.settings)
}

// logFolder is where the Nymi Band Application of one user writes its logs (guide: collecting logs).
func logFolder() string {
	return filepath.Join("Users", "operator", "AppData", "Roaming", "Nymi", "NEM", "Logs")
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
	return 0, fmt.Errorf("no free port for the Nymi Agent between %d and %d", lowest, lowest+count)
}
