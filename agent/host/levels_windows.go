package host

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/windows/registry"
)

// Levels implements Registry.
func (r machineRegistry) Levels(_ context.Context, key string) (uint32, error) {
	for i, level := range keyLevels(key) {
		opened, err := r.open(level, registry.QUERY_VALUE)
		if errors.Is(err, registry.ErrNotExist) {
			return uint32(i), nil
		}
		if err != nil {
			return 0, fmt.Errorf("registry key %q: %w", level, err)
		}
		closeKey(opened)
	}
	return uint32(len(keyLevels(key))), nil
}

// Prune implements Registry. It never deletes a key that holds a value or another key.
func (r machineRegistry) Prune(_ context.Context, key string, keep uint32) error {
	levels := keyLevels(key)
	for i := len(levels) - 1; i >= int(keep); i-- {
		empty, err := r.empty(levels[i])
		switch {
		case errors.Is(err, registry.ErrNotExist):
			continue // the level above may still be there
		case err != nil:
			return fmt.Errorf("registry key %q: %w", levels[i], err)
		case !empty:
			return nil
		}
		if err := r.remove(levels, i); err != nil {
			return fmt.Errorf("registry key %q: %w", levels[i], err)
		}
	}
	return nil
}

func (r machineRegistry) empty(key string) (bool, error) {
	opened, err := r.open(key, registry.QUERY_VALUE|registry.ENUMERATE_SUB_KEYS)
	if err != nil {
		return false, err
	}
	defer closeKey(opened)
	info, err := opened.Stat()
	if err != nil {
		return false, err
	}
	return info.SubKeyCount == 0 && info.ValueCount == 0, nil
}

// remove deletes level i by its parent, opened in this view: Windows itself refuses it when a key has come below meanwhile.
func (r machineRegistry) remove(levels []string, i int) error {
	if i == 0 {
		return errors.New("is at the top of the registry: it is never removed")
	}
	parent, err := r.open(levels[i-1], registry.ENUMERATE_SUB_KEYS)
	if err != nil {
		return err
	}
	defer closeKey(parent)
	return registry.DeleteKey(parent, levels[i][len(levels[i-1])+1:])
}
