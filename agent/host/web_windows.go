package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"golang.org/x/sys/windows/registry"
)

// installedWeb is the machine's web server, which may come and go while the agent runs.
type installedWeb struct {
	// command is the full path of appcmd.exe, which is there when the web server is.
	command  string
	server   appcmdIIS
	bindings webBindings
}

// webCapabilities is what a machine's web server offers.
type webCapabilities struct {
	IIS      IIS
	Bindings Bindings
}

func openWeb(certificates Certificates) (webCapabilities, error) {
	command, err := inSystem("inetsrv", "appcmd.exe")
	if err != nil {
		return webCapabilities{}, err
	}
	server := appcmdIIS{appcmd: appcmd{systemTool(command)}, expand: expandVariables, folderExists: folderExists}
	web := &installedWeb{command, server, webBindings{iis: server, records: driverRecords{}, certificates: certificates}}
	return webCapabilities{IIS: iisIfInstalled{web}, Bindings: bindingsIfInstalled{web}}, nil
}

// missing is an error when there is no web server.
func (w *installedWeb) missing() error {
	_, err := os.Stat(w.command)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("a web server (IIS): %w", ErrNotSupported)
	}
	return err
}

// expandVariables replaces %SystemDrive% and the like.
func expandVariables(path string) string {
	if expanded, err := registry.ExpandString(path); err == nil {
		return expanded
	}
	return path
}

func folderExists(path string) bool {
	info, err := os.Stat(filepath.FromSlash(path))
	return err == nil && info.IsDir()
}

// iisIfInstalled answers as NoIIS does while there is no web server.
type iisIfInstalled struct{ *installedWeb }

// Inventory implements IIS.
func (w iisIfInstalled) Inventory(ctx context.Context, locations ...string) (*actionv1.IISInventory, error) {
	err := w.missing()
	if errors.Is(err, ErrNotSupported) {
		return &actionv1.IISInventory{}, nil
	}
	if err != nil {
		return nil, err
	}
	return w.server.Inventory(ctx, locations...)
}

// Set implements IIS.
func (w iisIfInstalled) Set(ctx context.Context, attribute actionv1.IISAttribute, object, value string) error {
	if err := w.missing(); err != nil {
		return err
	}
	return w.server.Set(ctx, attribute, object, value)
}

// StartSite implements IIS.
func (w iisIfInstalled) StartSite(ctx context.Context, site string) error {
	if err := w.missing(); err != nil {
		return err
	}
	return w.server.StartSite(ctx, site)
}

// StartPool implements IIS.
func (w iisIfInstalled) StartPool(ctx context.Context, pool string) error {
	if err := w.missing(); err != nil {
		return err
	}
	return w.server.StartPool(ctx, pool)
}

// RecyclePool implements IIS.
func (w iisIfInstalled) RecyclePool(ctx context.Context, pool string) error {
	if err := w.missing(); err != nil {
		return err
	}
	return w.server.RecyclePool(ctx, pool)
}

// bindingsIfInstalled answers as NoBindings does while there is no web server.
type bindingsIfInstalled struct{ *installedWeb }

// List implements Bindings.
func (w bindingsIfInstalled) List(ctx context.Context) ([]*actionv1.Binding, error) {
	if err := w.missing(); err != nil {
		return nil, err
	}
	return w.bindings.List(ctx)
}

// Set implements Bindings.
func (w bindingsIfInstalled) Set(ctx context.Context, b *actionv1.Binding) error {
	if err := w.missing(); err != nil {
		return err
	}
	return w.bindings.Set(ctx, b)
}

// Remove implements Bindings.
func (w bindingsIfInstalled) Remove(ctx context.Context, b *actionv1.Binding) error {
	if err := w.missing(); err != nil {
		return err
	}
	return w.bindings.Remove(ctx, b)
}
