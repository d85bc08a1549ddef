package sim

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"strings"

	"github.com/bandfleet/bandfleet/agent/host"
)

// The two views of the registry. Each is a file of values by lower-case name, since names are found in any case; "key\" stands for a
// key, with a value or without.
const (
	registryFile   = "registry.json"
	registry32File = "registry32.json"
)

// registry is a simulated terminal's host.Registry.
type registry struct {
	*terminal
	file string
}

// Get implements host.Registry.
func (v registry) Get(_ context.Context, key, value string) (string, error) {
	values, err := v.values()
	if err != nil {
		return "", registryError(key, value, err)
	}
	data, ok := values[registryName(key, value)]
	if !ok {
		return "", registryError(key, value, host.ErrNotExist)
	}
	return data, nil
}

// Set implements host.Registry.
func (v registry) Set(ctx context.Context, key, value, data string) error {
	err := v.change(ctx, func(values map[string]string) error {
		setValue(values, key, value, data)
		return nil
	})
	return registryError(key, value, err)
}

// setValue writes a value and makes its key with the levels above it.
func setValue(values map[string]string, key, value, data string) {
	for level := strings.ToLower(key); level != ""; level = above(level) {
		values[level+`\`] = ""
	}
	values[registryName(key, value)] = data
}

// Delete implements host.Registry.
func (v registry) Delete(ctx context.Context, key, value string) error {
	err := v.change(ctx, func(values map[string]string) error {
		name := registryName(key, value)
		if _, ok := values[name]; !ok {
			return host.ErrNotExist
		}
		values[strings.ToLower(key)+`\`] = "" // the key stays
		delete(values, name)
		return nil
	})
	return registryError(key, value, err)
}

// Levels implements host.Registry.
func (v registry) Levels(_ context.Context, key string) (uint32, error) {
	values, err := v.values()
	if err != nil {
		return 0, fmt.Errorf("registry key %q: %w", key, err)
	}
	var levels uint32
	for level := strings.ToLower(key); level != ""; level = above(level) {
		if keyExists(values, level) {
			levels++
		}
	}
	return levels, nil
}

// keyExists goes by what is in a key and below it, since values of an earlier version have no keys of their own.
func keyExists(values map[string]string, key string) bool {
	for name := range values {
		if strings.HasPrefix(name, key+`\`) || strings.HasPrefix(name, key+" @ ") {
			return true
		}
	}
	return false
}

// Prune implements host.Registry.
func (v registry) Prune(ctx context.Context, key string, keep uint32) error {
	err := v.change(ctx, func(values map[string]string) error {
		levels := strings.Split(strings.ToLower(key), `\`)
		for n := len(levels); n > int(keep); n-- {
			level := strings.Join(levels[:n], `\`)
			_, made := values[level+`\`]
			delete(values, level+`\`)
			if !keyExists(values, level) {
				continue
			}
			if made {
				values[level+`\`] = ""
			}
			break
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("registry key %q: %w", key, err)
	}
	return nil
}

// View32 implements host.Registry.
func (v registry) View32() host.Registry { return registry{v.terminal, registry32File} }

func (v registry) values() (map[string]string, error) {
	values := map[string]string{}
	err := readJSON(filepath.Join(v.dir, v.file), &values)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return values, err
}

// change lets do change the values and stores them, when it changed any.
func (v registry) change(ctx context.Context, do func(map[string]string) error) error {
	return v.exclusively(ctx, func() error {
		values, err := v.values()
		if err != nil {
			return err
		}
		before := maps.Clone(values)
		if err := do(values); err != nil || maps.Equal(before, values) {
			return err
		}
		return writeJSON(filepath.Join(v.dir, v.file), values)
	})
}

// above is the key that holds a key; empty above the first level.
func above(key string) string {
	return key[:max(strings.LastIndexByte(key, '\\'), 0)]
}

func registryName(key, value string) string {
	return strings.ToLower(key) + ` @ ` + strings.ToLower(value)
}

func registryError(key, value string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("registry value %q of %q: %w", value, key, err)
}
