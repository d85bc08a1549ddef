package sim

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
)

// errLocked: another process, or another opening in this one, holds the lock.
var errLocked = errors.New("is locked")

// lockPoll is how often a lock that is held is tried again.
const lockPoll = 5 * time.Millisecond

// lockWithin takes a file's exclusive lock, waiting until ctx ends. The lock ends with Close or with the process.
func lockWithin(ctx context.Context, file string) (*os.File, error) {
	var locked *os.File
	err := host.Poll(ctx, lockPoll, func() (bool, error) {
		var err error
		locked, err = tryLock(file, exclusive)
		if errors.Is(err, errLocked) {
			return false, nil
		}
		return err == nil, err
	})
	return locked, err
}

// isHeld says whether some process holds a file's exclusive lock. Askers share the lock among themselves for a moment, so a
// process that wants it exclusively must try again (lockWithin does).
func isHeld(file string) (bool, error) {
	locked, err := tryLock(file, shared)
	if errors.Is(err, errLocked) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, locked.Close()
}

// tryLock opens, creating it if needed, and locks a file without waiting; errLocked when it cannot be had.
func tryLock(file string, mode lockMode) (*os.File, error) {
	opened, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(opened, mode); err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return opened, nil
}

// lockMode says who else may hold the lock.
type lockMode int

const (
	shared lockMode = iota
	exclusive
)
