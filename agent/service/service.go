// Package service makes the agent a service of the operating system and takes it away again: a Windows service or a systemd
// unit that starts with the machine, is restarted when it ends, and is told to stop in good order. The command line of
// fleet-agent is its only caller.
package service

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// stopTimeout is how long the operating system is asked to wait for the agent's end. A task in flight puts back what it
// stopped first, and starting a service may take a minute.
const stopTimeout = 2 * time.Minute

// Config is a service to be installed.
type Config struct {
	// Name is the operating system's name of the service, without ".service".
	Name string
	// DisplayName and Description are for people.
	DisplayName string
	Description string
	// Executable is the absolute path of this program; Args follow it.
	Executable string
	Args       []string
	// DataDir is the absolute path of the folder that the service writes to.
	DataDir string
	// Changes are the absolute paths of the other folders that the service changes files in. They need not be there.
	Changes []string
}

// Status is the state of an installed service.
type Status struct {
	Installed bool
	// Automatic is true when it starts with the machine.
	Automatic bool
	// State is the operating system's own word ("running", "active", "stopped").
	State string
	// PID is 0 when it does not run.
	PID uint32
	// Command is what the service runs: the program and its arguments. It is empty when the service is not installed.
	Command []string
}

// Up tells whether the service runs and its program has said that it is ready.
func (s Status) Up() bool { return s.State == "running" || s.State == "active" }

// Down tells whether the service has ended, and is not on its way to anything else.
func (s Status) Down() bool {
	return s.State == "stopped" || s.State == "inactive" || s.State == "failed"
}

// Main is the program that a service runs. It calls ready once when it is up, and returns soon after ctx ends.
type Main func(ctx context.Context, ready func()) error

// ErrNotAllowed is met by whoever has not an administrator's rights.
var ErrNotAllowed = errors.New("this needs an administrator's rights")

// Prepare is what is done between the end of a service and its removal. It gets the arguments that the service runs its program with. When
// it fails, nothing is removed and the service is started again.
type Prepare func(ctx context.Context, args []string) error

var (
	errInstalled    = errors.New("is installed already; `fleet-agent service uninstall` first")
	errNotInstalled = errors.New("is not installed; `fleet-agent service install` does that")
)

// fail names the service in an error.
func fail(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("service %q: %w", name, err)
}
