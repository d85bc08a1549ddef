package host

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/windows/registry"
)

// machineRegistry is HKEY_LOCAL_MACHINE in one of its two views, whatever an agent of that word size would see by itself.
type machineRegistry struct {
	// view is registry.WOW64_64KEY or registry.WOW64_32KEY.
	view uint32
}

// newRegistry returns the 64-bit view.
func newRegistry() machineRegistry { return machineRegistry{view: registry.WOW64_64KEY} }

// View32 implements Registry.
func (machineRegistry) View32() Registry { return machineRegistry{view: registry.WOW64_32KEY} }

// Get implements Registry.
func (r machineRegistry) Get(_ context.Context, key, value string) (string, error) {
	data, _, err := r.read(key, value)
	return data, registryError(key, value, err)
}

func (r machineRegistry) open(key string, access uint32) (registry.Key, error) {
	return registry.OpenKey(registry.LOCAL_MACHINE, key, access|r.view)
}

func (r machineRegistry) read(key, value string) (data string, valueType uint32, err error) {
	opened, err := r.open(key, registry.QUERY_VALUE)
	if err != nil {
		return "", 0, err
	}
	defer closeKey(opened)
	return opened.GetStringValue(value)
}

// Set implements Registry. A value that expands %variables% stays one that does.
func (r machineRegistry) Set(_ context.Context, key, value, data string) error {
	_, valueType, err := r.read(key, value)
	if err != nil && !errors.Is(err, registry.ErrNotExist) {
		return registryError(key, value, err)
	}
	opened, _, err := registry.CreateKey(registry.LOCAL_MACHINE, key, registry.SET_VALUE|r.view)
	if err != nil {
		return registryError(key, value, err)
	}
	defer closeKey(opened)
	if valueType == registry.EXPAND_SZ {
		return registryError(key, value, opened.SetExpandStringValue(value, data))
	}
	return registryError(key, value, opened.SetStringValue(value, data))
}

// Delete implements Registry.
func (r machineRegistry) Delete(_ context.Context, key, value string) error {
	opened, err := r.open(key, registry.SET_VALUE)
	if err != nil {
		return registryError(key, value, err)
	}
	defer closeKey(opened)
	return registryError(key, value, opened.DeleteValue(value))
}

func closeKey(key registry.Key) {
	_ = key.Close() // only frees the handle
}

func registryError(key, value string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, registry.ErrNotExist):
		err = ErrNotExist
	case errors.Is(err, registry.ErrUnexpectedType):
		err = errors.New("is not text")
	}
	return fmt.Errorf("registry value %q of %q: %w", value, key, err)
}
