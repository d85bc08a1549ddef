package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// What the implementations of Host share, so that they name objects and end waits alike.

// ServiceError wraps err with the display name of the service that it is about; nil stays nil.
func ServiceError(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("service %q: %w", name, err)
}

// EndedError says that a service's process ended while the service was starting. It wraps ErrEnded.
func EndedError(exitCode int64) error {
	return fmt.Errorf("%w, with exit code %d", ErrEnded, exitCode)
}

// NotOwnProcessError says that pid may not be killed, because the service's main process is another. It wraps
// ErrNotOwnProcess.
func NotOwnProcessError(pid, own uint32) error {
	return fmt.Errorf("process %d %w (that is %d)", pid, ErrNotOwnProcess, own)
}

// WaitError says why a wait whose context has ended came to nothing: ErrTimeout when the deadline came, else ctx's own error.
func WaitError(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ErrTimeout
	}
	return ctx.Err()
}

// Poll asks done every interval, first at once, until it says true, it errs, or ctx ends (see WaitError).
func Poll(ctx context.Context, interval time.Duration, done func() (bool, error)) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return whileWaiting(ctx, err)
		}
		select {
		case <-ctx.Done():
			return WaitError(ctx)
		case <-ticker.C:
		}
	}
}

// whileWaiting turns an error that only reports the end of ctx into what WaitError says of it.
func whileWaiting(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		return WaitError(ctx)
	}
	return err
}

// EndProcess kills process pid, provided that owner still names it once the process is held. Holding it first (a handle on
// Windows, a pidfd on Linux) means that the id cannot pass to another process between the check and the kill. It returns
// nil when the process is already gone or owner says that nothing runs (0).
func EndProcess(pid uint32, owner func() (uint32, error)) error {
	if pid == 0 {
		return fmt.Errorf("process 0 %w", ErrNotOwnProcess)
	}
	process, holdErr := os.FindProcess(int(pid))
	if holdErr == nil {
		defer func() { _ = process.Release() }() // only frees the handle
	}
	own, err := owner()
	switch {
	case err != nil:
		return err
	case own == 0:
		return nil
	case own != pid:
		return NotOwnProcessError(pid, own)
	case holdErr != nil:
		return fmt.Errorf("process %d: %w", pid, holdErr)
	}
	if err := process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	return nil
}
