// Package install puts a release of the agent on this machine, replaces an earlier one, and takes it away. It owns the program folder and
// the order of the steps: what can be checked is checked before anything is stopped, and a release that does not come up gives way to the one
// that ran before. The command line of fleet-agent is its only caller; it brings the enrolment and the service manager.
package install

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/private"
	"github.com/bandfleet/bandfleet/agent/identity"
	"github.com/bandfleet/bandfleet/agent/service"
)

// settingsFile is the name of the installed settings in the data directory.
const settingsFile = "agent.yaml"

// Settings is where the settings of an installed agent lie.
func Settings(dataDir string) string { return filepath.Join(dataDir, settingsFile) }

// Services is the service manager of the machine.
type Services interface {
	Query(ctx context.Context, name string) (service.Status, error)
	// Install makes a service and starts it.
	Install(ctx context.Context, c service.Config) error
	Uninstall(ctx context.Context, name string, prepare service.Prepare) error
	Start(ctx context.Context, name string) error
	// Stop waits for the end.
	Stop(ctx context.Context, name string) error
}

// Config is what an installation needs. All paths are absolute.
type Config struct {
	// From is the folder with the release: the agent's program and the folder plugins.
	From string
	// Program is the folder that the release is copied to.
	Program string
	DataDir string
	// Settings is a file to be installed as the agent's settings, or empty: then what is installed stays. It was found good.
	Settings string
	// Service is the service as it is to be; its program is the one in Program.
	Service service.Config
	// Enroll makes this machine a terminal, with the plugins of a folder. It is called for a machine that is none.
	Enroll func(ctx context.Context, plugins string) error
	// MayEnroll tells what an enrolment would lack, before anything is done.
	MayEnroll func() error
	// Version runs a copy of the agent's program to have its version: a program that the machine does not let start is found so.
	Version  func(ctx context.Context, program string) (string, error)
	Services Services
	// Patience is how long a service may take to come up.
	Patience time.Duration
	Log      *slog.Logger
}

// Install brings the machine to the release, the settings and the service of c, and returns when the agent is up. It says in a few words what it
// did. What is so already is left alone.
func Install(ctx context.Context, c Config) (string, error) {
	dir := identity.Dir(c.DataDir)
	if err := dir.Make(); err != nil {
		return "", &RefusedError{err}
	}
	held, err := private.Lock(filepath.Join(c.DataDir, "install.lock"))
	if err != nil {
		return "", &RefusedError{fmt.Errorf("%w; wait for the other installation", err)}
	}
	defer func() { _ = held.Close() }() // the end of the process would let it go, too
	r := &run{Config: c, dir: dir}
	if err := r.look(ctx); err != nil {
		return "", err
	}
	return r.install(ctx)
}

// run is one installation.
type run struct {
	Config
	dir   identity.Dir
	found found
	// undo are the ways back from what was done, the last one first.
	undo []func() error
}

// found is what an installation finds on the machine.
type found struct {
	enrolled bool
	status   service.Status
	// program, pins, settings and command tell what is as it is to be.
	program, pins, settings, command bool
}

// look reads what there is. Nothing is changed, but that a replacement which was cut off between its two renames is taken back.
func (r *run) look(ctx context.Context) (err error) {
	if err = mend(r.Program); err != nil {
		return err
	}
	if err = checkOurs(r.Program); err != nil {
		return err
	}
	if r.found.enrolled, err = r.dir.Enrolled(); err != nil {
		return err
	}
	if r.found.status, err = r.Services.Query(ctx, r.Service.Name); err != nil {
		return err
	}
	if r.found.program, err = sameRelease(r.From, r.Program); err != nil {
		return err
	}
	r.found.pins = r.found.program && samePins(r.dir.Pins(), pluginFolder(r.Program))
	if r.found.settings, err = sameSettings(r.Settings, Settings(r.DataDir)); err != nil {
		return err
	}
	r.found.command = slices.Equal(r.found.status.Command, append([]string{r.Service.Executable}, r.Service.Args...))
	if !r.found.enrolled {
		return r.MayEnroll()
	}
	return nil
}

// asItIsToBe tells whether there is nothing to do but to have the service run.
func (f found) asItIsToBe() bool {
	return f.enrolled && f.program && f.pins && f.settings && f.status.Installed && f.command
}

func (r *run) install(ctx context.Context) (string, error) {
	if !r.found.asItIsToBe() {
		return r.change(ctx)
	}
	if r.found.status.Up() {
		return "is installed already and runs; nothing was changed", nil
	}
	if err := r.Services.Start(ctx, r.Service.Name); err != nil {
		return "", &DownError{err}
	}
	if err := r.awaitUp(ctx); err != nil {
		return "", &DownError{err}
	}
	return "was installed already and is started", nil
}

// awaitUp waits until the agent has told the service manager that it is ready.
func (r *run) awaitUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	for {
		status, err := r.Services.Query(ctx, r.Service.Name)
		switch {
		case err != nil || status.Up():
			return err
		case status.Down():
			return fmt.Errorf("service %q: has ended at its start (%s); see the agent's log", r.Service.Name, status.State)
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("service %q: is not up after %s (%s); see the agent's log", r.Service.Name, r.Patience, status.State)
		}
	}
}

// between is the time between two looks at something that takes its time.
const between = 250 * time.Millisecond

func pause(ctx context.Context) error {
	timer := time.NewTimer(between)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
