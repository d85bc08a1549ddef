//go:build !linux

package private

// NoCoreDumps does nothing here: Windows writes full dumps of a process only where an administrator configured them for it.
func NoCoreDumps() error { return nil }
