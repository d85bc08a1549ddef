package configfile

import (
	"fmt"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Carry gives the TOML file to the values that the TOML file from has of keys, and changes no other byte of it. A key that from does not
// have keeps its value in to. From is the file that is replaced; without content there is nothing to carry.
func Carry(from, to []byte, keys []string) ([]byte, error) {
	const format = actionv1.ConfigFormat_CONFIG_FORMAT_TOML
	old, err := Parse(format, from)
	if err != nil {
		return nil, fmt.Errorf("the file that is replaced: %w", err)
	}
	target, err := Parse(format, to)
	if err != nil {
		return nil, fmt.Errorf("the file that is copied: %w", err)
	}
	var changes []*actionv1.ConfigChange
	for _, key := range keys {
		value, ok := old.Value(key)
		if !ok {
			continue
		}
		change := &actionv1.ConfigChange{Key: key, After: &value}
		if there, ok := target.Value(key); ok {
			change.Before = &there
		}
		if change.Before == nil || *change.Before != value {
			changes = append(changes, change)
		}
	}
	if len(changes) == 0 {
		return append([]byte(nil), to...), nil
	}
	return Edit(format, to, changes)
}
