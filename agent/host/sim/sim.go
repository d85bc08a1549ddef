// Package sim is a simulated machine that lives in a directory: nbe.toml, log folders, a registry, an adapter, certificate stores as files,
// and services that are real child processes; that of a NES host's web server speaks TLS. They are detached, so they outlive the agent, as services of a machine do; they can
// be killed, crash, and hang. The demo, load tests and tests of the agent use it through `fleet-agent run --host sim:DIR`, and
// `fleet-agent sim` makes and breaks it.
//
// A service is this same program, started again as `sim service --dir DIR --name NAME`: the program's main hands those
// arguments to ServiceMain. Whether a service runs is read from a lock that its process holds, never from a process id, which
// another process may have got meanwhile.
package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bandfleet/bandfleet/agent/host"
)

const (
	terminalFile   = "terminal.json"
	machineLock    = "machine.lock"
	endpointFolder = "endpoint"
	servicesFolder = "services"
	layoutVersion  = 1
)

// terminal is a simulated terminal on disk.
type terminal struct {
	dir string
	settings
}

// settings are what Init decided once for all; they are the content of terminalFile, which also marks the directory.
type settings struct {
	Version  int    `json:"version"`
	Hostname string `json:"hostname"`
	// Role is RoleNESHost, or empty for a user terminal.
	Role string `json:"role,omitempty"`
	// AgentPort is the loopback port on which the Nymi Agent listens, as nbe.toml says.
	AgentPort int `json:"agent_port,omitempty"`
	// HTTPPort and HTTPSPort are the loopback ports that stand for 80 and 443 of a NES host.
	HTTPPort  int `json:"http_port,omitempty"`
	HTTPSPort int `json:"https_port,omitempty"`
	// Services are the display names of services besides Nymi's.
	Services []string `json:"services,omitempty"`
}

// Open returns the simulated terminal in dir as a host.
func Open(dir string) (*host.Host, error) {
	t, err := load(dir)
	if err != nil {
		return nil, err
	}
	local, err := host.Local(host.LocalConfig{Roots: t.roots()})
	if err != nil {
		return nil, err
	}
	h := &host.Host{
		Services: services{t},
		Files:    local.Files,
		Devices:  devices{t},
		Network:  t.network(),
		Registry: registry{t, registryFile},
		System:   system{terminal: t, local: local.System},
		Users:    users{t},

		Certificates: certificates{t},
		Bindings:     host.NoBindings{Lacking: "a web server"},
		IIS:          host.NoIIS{Lacking: "IIS"},
		Power:        power{t},
		Programs:     programs{t},
		Features:     features{t},
	}
	if t.isNES() {
		h.Bindings, h.IIS = bindings{t}, iis{t}
	}
	return h, nil
}

func (t *terminal) isNES() bool { return t.Role == RoleNESHost }

// load reads the settings of the simulated terminal in dir.
func load(dir string) (*terminal, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	t := &terminal{dir: absolute}
	err = readJSON(filepath.Join(absolute, terminalFile), &t.settings)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("directory %q: is no simulated terminal: make one with `fleet-agent sim init %s`", dir, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("simulated terminal %q: %w", dir, err)
	}
	if t.Version != layoutVersion {
		return nil, fmt.Errorf("simulated terminal %q: has layout %d, this program knows %d: make a new one with `fleet-agent sim init`",
			dir, t.Version, layoutVersion)
	}
	return t, nil
}

// exclusively runs do while no other program changes this terminal.
func (t *terminal) exclusively(ctx context.Context, do func() error) error {
	lock, err := lockWithin(ctx, filepath.Join(t.dir, machineLock))
	if err != nil {
		return fmt.Errorf("simulated terminal %q: another program is changing it: %w", t.dir, err)
	}
	return errors.Join(do(), lock.Close())
}

func readJSON(file string, into any) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	return nil
}

// writeJSON replaces a file atomically. Each of these files has one writer at a time.
func writeJSON(file string, value any) error {
	content, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	temporary := file + ".new"
	if err := os.WriteFile(temporary, append(content, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, file)
}
