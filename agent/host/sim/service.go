package sim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Files in a service's folder.
const (
	behaviourFile = "behaviour"
	lockName      = "running.lock" // held by the service's process for as long as it lives
	processFile   = "process.json" // written by the process, removed before the next one starts
	endedFile     = "ended.json"   // written by the process when it ends by itself, removed before the next one starts
	outputFile    = "output.log"
)

// killedExitCode is what a process that left no record of its end is taken to have ended with (128 + SIGKILL).
const killedExitCode = 137

// service is one service of a simulated terminal.
type service struct {
	*terminal
	name, key string
}

// Keys of services.
const (
	agentKey    = "NymiAgent"
	endpointKey = "NymiBluetoothEndpoint"
	processKey  = "WAS"
	webKey      = "W3SVC"
	caKey       = "CertSvc"
)

// services are the services of a terminal, those first that others need: the endpoint connects to the Nymi Agent, the web server's
// applications run in processes of WAS.
func (t *terminal) services() []*service {
	all := []*service{
		{terminal: t, name: host.AgentService, key: agentKey},
		{terminal: t, name: host.EndpointService, key: endpointKey},
	}
	if t.isNES() {
		all = []*service{
			{terminal: t, name: "Windows Process Activation Service", key: processKey},
			{terminal: t, name: "World Wide Web Publishing Service", key: webKey},
			{terminal: t, name: "Active Directory Certificate Services", key: caKey},
		}
	}
	for i, name := range t.Services {
		all = append(all, &service{terminal: t, name: name, key: fmt.Sprintf("Service%d", i+1)})
	}
	return all
}

// service finds a service by display name or by key.
func (t *terminal) service(name string) (*service, error) {
	for _, s := range t.services() {
		if s.name == name || s.key == name {
			return s, nil
		}
	}
	return nil, host.ErrNotInstalled
}

func (s *service) file(name string) string {
	return filepath.Join(s.dir, servicesFolder, s.key, name)
}

// processRecord is what a service's process says of itself.
type processRecord struct {
	PID    uint32    `json:"pid"`
	Status string    `json:"status"`
	Since  time.Time `json:"since"`
	// ControlPort is the loopback port on which it takes orders that begin with Token.
	ControlPort int    `json:"control_port"`
	Token       string `json:"token"`
}

// endedRecord is a process's last word.
type endedRecord struct {
	ExitCode int64     `json:"exit_code"`
	At       time.Time `json:"at"`
}

const (
	statusStopped  = "stopped"
	statusStarting = "starting"
	statusRunning  = "running"
	statusStopping = "stopping"
)

// observed is a service as it is now.
type observed struct {
	processRecord
	exitCode int64
}

// observe reads what the service is doing. The lock alone says whether it lives; the records say the rest.
func (s *service) observe() (observed, error) {
	alive, err := isHeld(s.file(lockName))
	if err != nil {
		return observed{}, err
	}
	var process processRecord
	err = readJSON(s.file(processFile), &process)
	written := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return observed{}, err
	}
	switch {
	case alive && written:
		return observed{processRecord: process}, nil
	case alive:
		return observed{processRecord: processRecord{Status: statusStarting}}, nil
	}
	return s.observeStopped(written)
}

// observeStopped reads how the last process ended: by its own word, or, when it left none, killed, nobody knows when.
func (s *service) observeStopped(ran bool) (observed, error) {
	stopped := observed{processRecord: processRecord{Status: statusStopped}}
	var ended endedRecord
	err := readJSON(s.file(endedFile), &ended)
	switch {
	case err == nil:
		stopped.exitCode, stopped.Since = ended.ExitCode, ended.At
	case !errors.Is(err, fs.ErrNotExist):
		return observed{}, err
	case ran:
		stopped.exitCode = killedExitCode
	}
	return stopped, nil
}

// forget removes what the last process left, before another one starts.
func (s *service) forget() error {
	for _, name := range []string{processFile, endedFile} {
		if err := os.Remove(s.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// state is the service's state in the words of the protocol.
func (s *service) state() (*actionv1.ServiceState, error) {
	seen, err := s.observe()
	if err != nil {
		return nil, err
	}
	behaves, err := s.behaviour()
	if err != nil {
		return nil, err
	}
	return &actionv1.ServiceState{
		Service: s.name, Installed: true, Key: s.key, Status: protocolStatus(seen.Status), Pid: seen.PID,
		Disabled: behaves.kind == disabled, ExitCode: seen.exitCode,
	}, nil
}

func protocolStatus(status string) actionv1.ServiceStatus {
	switch status {
	case statusStarting:
		return actionv1.ServiceStatus_SERVICE_STATUS_STARTING
	case statusRunning:
		return actionv1.ServiceStatus_SERVICE_STATUS_RUNNING
	case statusStopping:
		return actionv1.ServiceStatus_SERVICE_STATUS_STOPPING
	}
	return actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
}
