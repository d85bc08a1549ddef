package host

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/windows/registry"
)

// machineRegistry is HKEY_LOCAL_MACHINE in the 64-bit view, which a 32-bit agent would not see by itself.
type machineRegistry struct{}

// Get implements Registry.
func (machineRegistry) Get(_ context.Context, key, value string) (string, error) {
	data, _, err := readValue(key, value)
	return data, registryError(key, value, err)
}

func readValue(key, value string) (data string, valueType uint32, err error) {
	opened, err := registry.OpenKey(registry.LOCAL_MACHINE, key, registry.QUERY_VALUE|registry.WOW64_64KEY)
	if err != nil {
		return "", 0, err
	}
	defer closeKey(opened)
	return opened.GetStringValue(value)
}

// Set implements Registry. A value that expands %variables% stays one that does.
func (machineRegistry) Set(_ context.Context, key, value, data string) error {
	_, valueType, err := readValue(key, value)
	if err != nil && !errors.Is(err, registry.ErrNotExist) {
		return registryError(key, value, err)
	}
	opened, _, err := registry.CreateKey(registry.LOCAL_MACHINE, key, registry.SET_VALUE|registry.WOW64_64KEY)
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
func (machineRegistry) Delete(_ context.Context, key, value string) error {
	opened, err := registry.OpenKey(registry.LOCAL_MACHINE, key, registry.SET_VALUE|registry.WOW64_64KEY)
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

// Levels implements Registry.
func (machineRegistry) Levels(context.Context, string) (uint32, error) {
	return 0, fmt.Errorf("registry: %w", ErrNotSupported)
}

// Prune implements Registry.
func (machineRegistry) Prune(context.Context, string, uint32) error {
	return fmt.Errorf("registry: %w", ErrNotSupported)
}

// View32 implements Registry.
func (r machineRegistry) View32() Registry { return r }
