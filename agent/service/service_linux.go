package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/coreos/go-systemd/v22/dbus"
)

// unitDir is where the administrator's units live: systemd.unit(5).
const unitDir = "/etc/systemd/system"

func unitName(name string) string { return name + ".service" }

func unitPath(name string) string { return filepath.Join(unitDir, unitName(name)) }

// Install writes the unit, enables it and starts it. It returns when the agent has said that it is up.
func Install(ctx context.Context, c Config) error {
	return fail(c.Name, install(ctx, c))
}

func install(ctx context.Context, c Config) error {
	text, err := unitText(c)
	if err != nil {
		return err
	}
	bus, err := connect(ctx)
	if err != nil {
		return err
	}
	defer bus.Close()
	f, err := os.OpenFile(unitPath(c.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // units are public, as systemd expects
	if errors.Is(err, fs.ErrExist) {
		return errInstalled
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return enable(ctx, bus, c.Name)
}

func enable(ctx context.Context, bus *dbus.Conn, name string) error {
	if err := bus.ReloadContext(ctx); err != nil {
		return err
	}
	if _, _, err := bus.EnableUnitFilesContext(ctx, []string{unitName(name)}, false, false); err != nil {
		return err
	}
	if err := begin(ctx, bus, name); err != nil {
		return fmt.Errorf("was installed, and %w", err)
	}
	return nil
}

// Allowed returns ErrNotAllowed when this account may not install services.
func Allowed() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: run it as root", ErrNotAllowed)
	}
	return nil
}

// Start starts an installed service. It returns when the agent has said that it is up.
func Start(ctx context.Context, name string) error { return fail(name, withBus(ctx, name, begin)) }

// Stop stops the service and waits for its end. One that does not run is no error.
func Stop(ctx context.Context, name string) error { return fail(name, withBus(ctx, name, end)) }

func withBus(ctx context.Context, name string, do func(context.Context, *dbus.Conn, string) error) error {
	bus, err := connect(ctx)
	if err != nil {
		return err
	}
	defer bus.Close()
	return do(ctx, bus, name)
}

// begin starts the unit and waits until it is up.
func begin(ctx context.Context, bus *dbus.Conn, name string) error {
	done := make(chan string, 1)
	if _, err := bus.StartUnitContext(ctx, unitName(name), "replace", done); err != nil {
		return err
	}
	if err := await(ctx, done); err != nil {
		return fmt.Errorf("its start %w; see `journalctl -u %s`", err, unitName(name))
	}
	return nil
}

// end stops the unit and waits for its end.
func end(ctx context.Context, bus *dbus.Conn, name string) error {
	done := make(chan string, 1)
	if _, err := bus.StopUnitContext(ctx, unitName(name), "replace", done); err != nil {
		return err
	}
	if err := await(ctx, done); err != nil {
		return fmt.Errorf("its stop %w; see `journalctl -u %s`", err, unitName(name))
	}
	return nil
}

// Uninstall stops the service, waits for its end, prepares, and removes the unit. The data directory stays.
func Uninstall(ctx context.Context, name string, prepare Prepare) error {
	return fail(name, uninstall(ctx, name, prepare))
}

func uninstall(ctx context.Context, name string, prepare Prepare) error {
	if _, err := os.Stat(unitPath(name)); errors.Is(err, fs.ErrNotExist) {
		return errNotInstalled
	}
	bus, err := connect(ctx)
	if err != nil {
		return err
	}
	defer bus.Close()
	if err := end(ctx, bus, name); err != nil {
		return err
	}
	if err := prepared(ctx, bus, name, prepare); err != nil {
		return err
	}
	if _, err := bus.DisableUnitFilesContext(ctx, []string{unitName(name)}, false); err != nil {
		return err
	}
	if err := os.Remove(unitPath(name)); err != nil {
		return err
	}
	return bus.ReloadContext(ctx)
}

// prepared prepares the removal, or starts the service again.
func prepared(ctx context.Context, bus *dbus.Conn, name string, prepare Prepare) error {
	words, err := command(ctx, bus, name)
	if err == nil {
		err = prepare(ctx, words[1:])
	}
	if err == nil {
		return nil
	}
	_, startErr := bus.StartUnitContext(context.WithoutCancel(ctx), unitName(name), "replace", nil)
	return errors.Join(fmt.Errorf("is not removed and was started again: %w", err), startErr)
}

// command reads what the unit runs: one word or more.
func command(ctx context.Context, bus *dbus.Conn, name string) ([]string, error) {
	property, err := bus.GetUnitTypePropertyContext(ctx, unitName(name), "Service", "ExecStart")
	if err != nil {
		return nil, err
	}
	// One structure for each command: its path, its words, and how it ran last.
	commands, _ := property.Value.Value().([][]any)
	if len(commands) == 1 && len(commands[0]) > 1 {
		if words, ok := commands[0][1].([]string); ok && len(words) > 0 {
			return words, nil
		}
	}
	return nil, errors.New("systemd does not tell the unit's command line")
}

// await waits for the outcome of a systemd job.
func await(ctx context.Context, done <-chan string) error {
	select {
	case outcome := <-done:
		if outcome != "done" {
			return fmt.Errorf("ended with %q", outcome)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("took too long: %w", ctx.Err())
	}
}

// Query reads the state of the service. One that is not there is no error.
func Query(ctx context.Context, name string) (Status, error) {
	bus, err := connect(ctx)
	if err != nil {
		return Status{}, fail(name, err)
	}
	defer bus.Close()
	properties, err := bus.GetAllPropertiesContext(ctx, unitName(name))
	if err != nil {
		return Status{}, fail(name, err)
	}
	text := func(key string) string { s, _ := properties[key].(string); return s }
	pid, _ := properties["MainPID"].(uint32)
	status := Status{
		Installed: text("LoadState") == "loaded",
		Automatic: text("UnitFileState") == "enabled",
		State:     text("ActiveState"),
		PID:       pid,
	}
	if status.Installed {
		status.Command, err = command(ctx, bus, name)
	}
	return status, fail(name, err)
}

func connect(ctx context.Context) (*dbus.Conn, error) {
	bus, err := dbus.NewSystemConnectionContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("systemd does not answer: %w; this needs a machine that was started by systemd, and root's rights", err)
	}
	return bus, nil
}

// Run runs main as the service that systemd started, and tells systemd when it is up and when it begins to stop. ctx ends
// when systemd's signal arrives: the caller has set that up.
func Run(ctx context.Context, name string, main Main) error {
	stop := context.AfterFunc(ctx, func() { notify(daemon.SdNotifyStopping) })
	defer stop()
	return fail(name, main(ctx, func() { notify(daemon.SdNotifyReady) }))
}

// notify tells systemd. Without systemd there is nobody to tell, and a service manager that cannot hear is no reason to end.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }
