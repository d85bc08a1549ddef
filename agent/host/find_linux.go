package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"
)

func isNotInstalled(err error) bool { return errors.Is(err, ErrNotInstalled) }

// find returns the unit with a display name: the configured one, else the one whose Description= it is, loaded or not.
func (s *systemdServices) find(ctx context.Context, conn *dbus.Conn, name string) (*systemdUnit, error) {
	if key, ok := s.units[name]; ok {
		return &systemdUnit{conn: conn, name: name, key: key, configured: true}, nil
	}
	key, err := findDescribed(ctx, conn, name)
	if err != nil {
		return nil, err
	}
	s.remember(name, key)
	return &systemdUnit{conn: conn, name: name, key: key}, nil
}

// findDescribed looks through the loaded units, then through those that only have a file.
func findDescribed(ctx context.Context, conn *dbus.Conn, name string) (string, error) {
	if name == "" {
		return "", ErrNotInstalled // not the unit that has no description
	}
	loaded, err := conn.ListUnitsByPatternsContext(ctx, nil, []string{"*.service"})
	if err != nil {
		return "", err
	}
	var found []string
	for _, unit := range loaded {
		if unit.Description == name {
			found = append(found, unit.Name)
		}
	}
	if len(found) > 0 {
		return onlyUnit(found)
	}
	files, err := conn.ListUnitFilesByPatternsContext(ctx, nil, []string{"*.service"})
	if err != nil {
		return "", err
	}
	return onlyUnit(unitsDescribed(files, name))
}

// unitsDescribed returns the units, among those with a file, whose Description= is name. systemd does not keep units
// loaded that nothing uses, so a stopped service may be known by its file alone.
func unitsDescribed(files []dbus.UnitFile, name string) []string {
	var found []string
	for _, file := range files {
		unit := filepath.Base(file.Path)
		paths := []string{file.Path}
		if strings.HasPrefix(file.Type, "masked") {
			paths = hiddenFiles(unit)
		}
		if slices.ContainsFunc(paths, func(path string) bool { return unitDescription(path) == name }) {
			found = append(found, unit)
		}
	}
	return found
}

// hiddenFiles are the places where packages and administrators put the file of a unit, in systemd's own order of precedence
// (systemd.unit(5)): a masked unit's description is read there, from the file that the mask hides.
func hiddenFiles(unit string) []string {
	return []string{
		filepath.Join("/etc/systemd/system", unit),
		filepath.Join("/run/systemd/system", unit),
		filepath.Join("/usr/local/lib/systemd/system", unit),
		filepath.Join("/usr/lib/systemd/system", unit),
		filepath.Join("/lib/systemd/system", unit),
	}
}

// unitDescription reads Description= of a unit file; empty when there is none, and of templates, which are no services.
func unitDescription(path string) string {
	content, err := os.ReadFile(path)
	if err != nil || strings.HasSuffix(path, "@.service") {
		return ""
	}
	description := ""
	for line := range strings.Lines(string(content)) {
		if key, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(key) == "Description" {
			description = strings.TrimSpace(value) // the last one counts
		}
	}
	return description
}

// onlyUnit refuses to guess between several units.
func onlyUnit(found []string) (string, error) {
	slices.Sort(found)
	found = slices.Compact(found)
	switch len(found) {
	case 0:
		return "", ErrNotInstalled
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%d units have this description (%s): name the right one in the agent's service keys",
		len(found), strings.Join(found, ", "))
}
