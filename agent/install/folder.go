package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// A release that is being put in place of another lies beside it, and so does the one that it replaces.
func incoming(program string) string { return program + ".new" }
func outgoing(program string) string { return program + ".old" }

// mend takes back a replacement that was cut off when the earlier release was moved away and the later one was not there yet.
func mend(program string) error {
	_, err := os.Lstat(program)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = os.Rename(outgoing(program), program)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// checkOurs refuses a folder that holds anything but a release: it would be moved away as a whole.
func checkOurs(program string) error {
	entries, err := os.ReadDir(program)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &RefusedError{fmt.Errorf("program folder %q: %w", program, err)}
	}
	for _, e := range entries {
		if e.Name() != ProgramFile() && e.Name() != pluginsName {
			return &RefusedError{fmt.Errorf("program folder %q: %q in it is not of a release of the agent; choose a folder that is the agent's alone",
				program, e.Name())}
		}
	}
	return nil
}

// stage copies a release to where it waits, in place of what a run before may have left there.
func stage(r release, program string) error {
	if err := removeAll(incoming(program)); err != nil {
		return err
	}
	if err := r.copyTo(incoming(program)); err != nil {
		return errors.Join(err, removeAll(incoming(program)))
	}
	return nil
}

// swap puts the release that waits in the place of the one that is there, if one is.
func swap(ctx context.Context, program string) error {
	if err := removeAll(outgoing(program)); err != nil {
		return err
	}
	err := rename(ctx, program, outgoing(program))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := rename(ctx, incoming(program), program); err != nil {
		return errors.Join(err, mend(program))
	}
	return nil
}

// swapBack puts the earlier release in its place again. Where there was none, there is none again.
func swapBack(ctx context.Context, program string) error {
	if err := rename(ctx, program, incoming(program)); err != nil {
		return err
	}
	return errors.Join(mend(program), removeAll(incoming(program)))
}

// renamePatience is how long a folder may be held by others: a process that is ending, a virus scanner that reads what is new.
const renamePatience = 30 * time.Second

// rename moves a folder, as soon as nobody holds it.
func rename(ctx context.Context, from, to string) error {
	ctx, cancel := context.WithTimeout(ctx, renamePatience)
	defer cancel()
	for {
		err := os.Rename(from, to)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if pause(ctx) != nil {
			return fmt.Errorf("%w; another program holds a file in it", err)
		}
	}
}
