package agent

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sim"
)

// simPrefix marks a simulated machine: "sim:DIR".
const simPrefix = "sim:"

// Machine says which machine an agent acts on.
type Machine struct {
	// Host is empty for the machine that the agent runs on, or "sim:DIR" for a simulated one.
	Host string
	// Local says where things are on the machine that the agent runs on.
	Local host.LocalConfig
}

// Absolute checks the Host and makes the folder of a simulated machine independent of the working directory.
func (m Machine) Absolute() (Machine, error) {
	if m.Host == "" {
		return m, nil
	}
	dir, ok := strings.CutPrefix(m.Host, simPrefix)
	if !ok || dir == "" {
		return m, input(fmt.Errorf("host %q: want sim:DIR, the folder of a simulated terminal, or nothing for this machine", m.Host))
	}
	path, err := filepath.Abs(dir)
	m.Host = simPrefix + path
	return m, err
}

func (m Machine) simulated() bool { return m.Host != "" }

// open returns the machine.
func (m Machine) open() (*host.Host, error) {
	if dir, ok := strings.CutPrefix(m.Host, simPrefix); ok {
		h, err := sim.Open(dir)
		return h, input(err)
	}
	return host.Local(m.Local)
}
