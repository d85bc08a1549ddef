package plugins

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// LockName is the name of the lock file in a folder of plugins.
const LockName = "plugins.lock"

// ReadLock reads dir/plugins.lock and checks each file that it names against its hash. Files that it does not name are never
// run. The paths in the pins are absolute.
func ReadLock(dir string) ([]Pin, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	lock := filepath.Join(dir, LockName)
	content, err := readPins(lock)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("folder %q: there is no %s: name the folder that came with the agent, or write one with `fleet-agent plugins lock`", dir, LockName)
	}
	if err != nil {
		return nil, err
	}
	pins, err := decodePins(content)
	if err != nil {
		return nil, fmt.Errorf("%q: %w: reinstall the agent", lock, err)
	}
	var problems []error
	for i := range pins {
		problems = append(problems, resolvePin(dir, &pins[i]))
	}
	return pins, errors.Join(problems...)
}

// resolvePin makes a lock entry's name absolute and checks the file.
func resolvePin(dir string, p *Pin) error {
	// A backslash separates on Windows only, but a lock file is refused everywhere for it.
	if strings.ContainsAny(p.File, `/\:`) || !namePattern.MatchString(pluginName(p.File)) {
		return fmt.Errorf("plugin file %q: want a plain file name without a path", p.File)
	}
	p.File = filepath.Join(dir, p.File)
	if err := checkPin(*p); err != nil {
		return err
	}
	exe, err := openPinned(*p)
	if err != nil {
		return fmt.Errorf("plugin %q: %w", p.Manifest.GetName(), err)
	}
	return exe.Close()
}

// WriteLock writes dir/plugins.lock for the plugins in dir. Each plugin is started to describe itself; when dir holds plugins
// for another system, describeFrom names a folder with the same plugins built for this one, else it is empty.
func WriteLock(dir, describeFrom string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	names, err := pluginFiles(dir)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("folder %q: there are no plugins in it", dir)
	}
	var pins []Pin
	for _, name := range names {
		pin, err := describe(dir, name, describeFrom)
		if err != nil {
			return err
		}
		pins = append(pins, Pin{File: name, SHA256: pin.SHA256, Manifest: pin.Manifest})
	}
	content, err := encodePins(pins)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, LockName), content, 0o644)
}

// pluginFiles lists the plugins in a folder, sorted by name.
func pluginFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		switch name := e.Name(); {
		case name == LockName || strings.HasPrefix(name, ".") || e.IsDir():
		case !e.Type().IsRegular() || !namePattern.MatchString(pluginName(name)):
			return nil, fmt.Errorf("folder %q: %q is no plugin: keep only plugins in it, named with lower case letters, digits and dashes", dir, name)
		default:
			names = append(names, name)
		}
	}
	return names, nil
}

// describe hashes one plugin and asks it, or its twin in describeFrom, for its manifest.
func describe(dir, name, describeFrom string) (Pin, error) {
	pin, err := unpinned(filepath.Join(dir, name))
	if err != nil {
		return Pin{}, err
	}
	twin := pin
	if describeFrom != "" {
		from, err := filepath.Abs(describeFrom)
		if err != nil {
			return Pin{}, err
		}
		if twin, err = unpinned(filepath.Join(from, pluginName(name)+executableSuffix)); err != nil {
			return Pin{}, err
		}
	}
	if pin.Manifest, err = manifestOf(twin); err != nil {
		return Pin{}, fmt.Errorf("plugin %q: %w", pluginName(name), err)
	}
	return pin, checkPin(pin)
}

// unpinned makes a pin of a file as it is now.
func unpinned(file string) (Pin, error) {
	sum, err := hashFile(file)
	return Pin{File: file, SHA256: sum, Manifest: &actionv1.Manifest{Name: pluginName(file)}}, err
}

// manifestOf starts a plugin only to describe itself.
func manifestOf(p Pin) (*actionv1.Manifest, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	proc, err := start(ctx, p, nil)
	if err != nil {
		return nil, err
	}
	m, err := proc.describe(ctx)
	return m, errors.Join(err, proc.Close())
}
