// Package boltfile opens bbolt files without ever harming one, and seals the records in them. The server's store and the
// agent's journal are such files. bbolt trusts its pages: a damaged page makes it fault or, worse, read nonsense, and its
// checksums cover only the two meta pages. So a file is checked from end to end before bbolt may map it, and each record
// carries a checksum of its own.
package boltfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// lockTimeout is how long Open waits for a file that another process has open, unless told otherwise.
const lockTimeout = time.Second

// Options say how a file is opened.
type Options struct {
	// Timeout is how long to wait for another process to let go of the file; 0 means one second.
	Timeout time.Duration
	// Sealed says that every value in the file was made by SealFor, and has each one's checksum checked at opening.
	// The names of buckets have none: a caller must refuse a file in which a bucket is missing, rather than make it.
	Sealed bool
	// Fill writes what a new file holds from its first moment, so that a file in which that is missing is always damaged.
	Fill func(*bbolt.Tx) error
	// Advice is what a person does about a damaged file, as a clause without full stop; empty means a general one.
	Advice string
}

// CorruptError says that a file is damaged. The file was not touched.
type CorruptError struct {
	Path string
	// Reason says what is wrong, as a clause.
	Reason string
	// Fill writes what a new file holds from its first moment, so that a file in which that is missing is always damaged.
	Fill func(*bbolt.Tx) error
	// Advice is what to do next.
	Advice string
}

// Error implements error.
func (e *CorruptError) Error() string {
	advice := e.Advice
	if advice == "" {
		advice = "restore it from a backup, or move it away to begin with an empty one"
	}
	return fmt.Sprintf("file %q: is corrupt: %s; it was left as it is: %s", e.Path, e.Reason, advice)
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// Open opens the file at path for reading and writing, or creates it with mode 0600. A file that is there is checked first; a
// damaged one gives *CorruptError and is not touched. A file that another process has open gives an error after a short wait.
func Open(path string, o Options) (*bbolt.DB, error) {
	if o.Timeout == 0 {
		o.Timeout = lockTimeout
	}
	found, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := create(path, o.Fill); err != nil {
			return nil, fmt.Errorf("file %q: create: %w", path, err)
		}
	case err != nil:
		return nil, err
	default:
		if err := checkLocked(path, o); err != nil {
			return nil, err
		}
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: o.Timeout, FreelistType: bbolt.FreelistMapType, NoStatistics: true})
	if err != nil {
		return nil, openError(path, err)
	}
	// Whoever held the lock that was waited for may have put another file in its place: writes to the old one would be lost.
	if now, err := os.Stat(path); err != nil || (found != nil && !os.SameFile(found, now)) {
		return nil, errors.Join(fmt.Errorf("file %q: was replaced while it was opened; open it again", path), err, db.Close())
	}
	return db, nil
}

// create makes a new file. It appears at path complete or not at all, so that an empty or half-made file at path is
// always damage; and it never replaces one that another process has just made.
func create(path string, fill func(*bbolt.Tx) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	name := tmp.Name()
	defer os.Remove(name)
	if err := tmp.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(name, 0o600, nil)
	if err != nil {
		return err
	}
	if fill != nil {
		err = db.Update(fill)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Link(name, path); err != nil && !errors.Is(err, fs.ErrExist) {
		// Some file systems have no hard links.
		if err := os.Rename(name, path); err != nil {
			return err
		}
	}
	return syncDir(filepath.Dir(path))
}

// checkLocked checks the file while it holds a shared lock on it, so that no other process is writing.
func checkLocked(path string, o Options) error {
	db, err := OpenReadOnly(path, o)
	if err != nil {
		return err
	}
	return db.Close()
}

// OpenReadOnly opens the file at path for reading and checks it, as Open does. While it is open no process can write to it.
func OpenReadOnly(path string, o Options) (*bbolt.DB, error) {
	if o.Timeout == 0 {
		o.Timeout = lockTimeout
	}
	corrupt := func(err error) error {
		return &CorruptError{Path: path, Reason: err.Error(), Advice: o.Advice}
	}
	// bbolt must see two sound meta pages before it may map anything.
	if err := checkFile(path, checker{metaOnly: true}); err != nil {
		return nil, orCorrupt(err, corrupt)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: o.Timeout, ReadOnly: true, NoStatistics: true})
	if err != nil {
		return nil, openError(path, err)
	}
	if err := checkFile(path, checker{sealed: o.Sealed}); err != nil {
		return nil, errors.Join(orCorrupt(err, corrupt), db.Close())
	}
	return db, nil
}

// Hold keeps other processes from opening the file at path for writing until what it returns is closed. A file that is too
// damaged to be opened by anybody is no error.
func Hold(path string) (io.Closer, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, ReadOnly: true, NoStatistics: true})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, openError(path, err)
	case err != nil:
		return io.NopCloser(nil), nil //nolint:nilerr // nobody else can open it either
	}
	return db, nil
}

// Replace gives the file at from, which must be on disk, the name to in the same directory. It is there under one of the two
// names at any time, also after a loss of power.
func Replace(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

func orCorrupt(err error, corrupt func(error) error) error {
	var d *damage
	if errors.As(err, &d) {
		return corrupt(d)
	}
	return err
}

func openError(path string, err error) error {
	if errors.Is(err, bolterrors.ErrTimeout) {
		return fmt.Errorf("file %q: is in use by another process; stop that one first, or use another data directory", path)
	}
	return fmt.Errorf("file %q: open: %w", path, err)
}
