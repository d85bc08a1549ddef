package hosttest

import (
	"context"
	"fmt"
	"strings"

	"github.com/bandfleet/bandfleet/agent/host"
)

// view is one view of the registry: the values of each key, by lower-case names, since names are found in any case. Guarded by Memory.mu.
type view map[string]map[string]string

// newView has the key that every machine has.
func newView() view { return view{"": {}, "software": {}} }

// make adds a key with the levels above it.
func (v view) make(key string) {
	for name := strings.ToLower(key); ; name = parent(name) {
		if v[name] == nil {
			v[name] = map[string]string{}
		}
		if name == "" {
			return
		}
	}
}

// empty says whether a key has neither values nor keys below it.
func (v view) empty(key string) bool {
	for name := range v {
		if strings.HasPrefix(name, key+`\`) {
			return false
		}
	}
	return len(v[key]) == 0
}

func parent(key string) string {
	return key[:max(strings.LastIndexByte(key, '\\'), 0)]
}

// SetRegistry sets a value in the 64-bit view, SetRegistry32 in the 32-bit one. They are not among Calls.
func (m *Memory) SetRegistry(key, value, data string) { m.setRegistry(m.registry, key, value, data) }

// SetRegistry32 is SetRegistry in the 32-bit view.
func (m *Memory) SetRegistry32(key, value, data string) {
	m.setRegistry(m.registry32, key, value, data)
}

func (m *Memory) setRegistry(v view, key, value, data string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v.make(key)
	v[strings.ToLower(key)][strings.ToLower(value)] = data
}

// memoryRegistry is Memory's host.Registry.
type memoryRegistry struct {
	m    *Memory
	view view
	// suffix tells the calls of the 32-bit view from those of the other.
	suffix string
}

// Get implements host.Registry.
func (r memoryRegistry) Get(_ context.Context, key, value string) (string, error) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	data, ok := r.view[strings.ToLower(key)][strings.ToLower(value)]
	if !ok {
		return "", fmt.Errorf("registry value %q of %q: %w", value, key, host.ErrNotExist)
	}
	return data, nil
}

// Set implements host.Registry.
func (r memoryRegistry) Set(_ context.Context, key, value, data string) error {
	if err := r.m.mutating("registry-set"+r.suffix, key+`\`+value); err != nil {
		return err
	}
	r.m.setRegistry(r.view, key, value, data)
	return nil
}

// Delete implements host.Registry.
func (r memoryRegistry) Delete(_ context.Context, key, value string) error {
	if err := r.m.mutating("registry-delete"+r.suffix, key+`\`+value); err != nil {
		return err
	}
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	values := r.view[strings.ToLower(key)]
	if _, ok := values[strings.ToLower(value)]; !ok {
		return fmt.Errorf("registry value %q of %q: %w", value, key, host.ErrNotExist)
	}
	delete(values, strings.ToLower(value))
	return nil
}

// Levels implements host.Registry.
func (r memoryRegistry) Levels(_ context.Context, key string) (uint32, error) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	var levels uint32
	for name := strings.ToLower(key); name != ""; name = parent(name) {
		if _, ok := r.view[name]; ok {
			levels++
		}
	}
	return levels, nil
}

// Prune implements host.Registry.
func (r memoryRegistry) Prune(_ context.Context, key string, keep uint32) error {
	if err := r.m.mutating("registry-prune"+r.suffix, key); err != nil {
		return err
	}
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	levels := strings.Split(strings.ToLower(key), `\`)
	for n := len(levels); n > int(keep); n-- {
		name := strings.Join(levels[:n], `\`)
		if _, ok := r.view[name]; ok && !r.view.empty(name) {
			return nil
		}
		delete(r.view, name)
	}
	return nil
}

// View32 implements host.Registry.
func (r memoryRegistry) View32() host.Registry { return memoryRegistry{r.m, r.m.registry32, "-32"} }
