// Package upkeep looks after the server's store as a file: backups of a running server, and for one that is stopped backup,
// check, restore and compaction of its data directory. server/api calls it for operators, server/cmd/fleetd for whoever keeps
// the machine. What it does to a file it does to a copy first: a file that is in use is only ever replaced whole.
package upkeep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/bandfleet/bandfleet/proto/boltfile"
	"github.com/bandfleet/bandfleet/server/store"
)

// StoreFile is the name of the store in a data directory.
const StoreFile = "store.db"

// Path is where the store of a data directory lies.
func Path(dataDir string) string { return filepath.Join(dataDir, StoreFile) }

// open opens the store of a server that is stopped.
func open(path string) (*store.Bolt, error) {
	st, err := store.OpenReadOnly(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("store %q: is not there; name the data directory of a server that was started once", path)
	}
	return st, err
}

// besides makes an empty file next to path, under a name that nobody else uses. What becomes of it is the caller's.
func besides(path, what string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"."+what+"-*")
}

// copyFile makes a durable copy of a file next to path and returns its name.
func copyFile(from, path string) (name string, err error) {
	src, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer src.Close()
	dst, err := besides(path, "restoring")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(dst, src)
	if err := errors.Join(err, dst.Sync(), dst.Close()); err != nil {
		return "", errors.Join(err, os.Remove(dst.Name()))
	}
	return dst.Name(), nil
}

// Compact writes the store of a stopped server anew without the space that deleted records left, and puts it in the place of
// the old one. It returns the sizes before and after, in bytes.
func Compact(ctx context.Context, dataDir string) (before, after int64, err error) {
	path := Path(dataDir)
	st, err := open(path)
	if err != nil {
		return 0, 0, err
	}
	// Holds the old file until the new one has its name, so that no server is started in between.
	defer st.Close()
	if err := checkStore(ctx, st, path, quiet); err != nil {
		return 0, 0, fmt.Errorf("%w; it was left as it is: restore a backup", err)
	}
	tmp, err := besides(path, "compacting")
	if err != nil {
		return 0, 0, err
	}
	name := tmp.Name()
	defer os.Remove(name)
	// The store wants to make the file itself.
	if err := errors.Join(tmp.Close(), os.Remove(name)); err != nil {
		return 0, 0, err
	}
	if err := st.CompactInto(name); err != nil {
		return 0, 0, err
	}
	if err := Check(ctx, name, quiet); err != nil {
		return 0, 0, fmt.Errorf("the compacted copy is not sound, and the store was left as it is: %w", err)
	}
	if before, err = size(path); err != nil {
		return 0, 0, err
	}
	if after, err = size(name); err != nil {
		return 0, 0, err
	}
	return before, after, replace(st, name, path)
}

// quiet is told what was found sound, and does not care.
func quiet(string) {}

// replace puts the file at name in the place of the one at path, which held keeps servers from opening.
func replace(held io.Closer, name, path string) error {
	if runtime.GOOS == "windows" {
		// There an open file cannot be replaced: neither by us, nor when a server opens it in between.
		if err := held.Close(); err != nil {
			return err
		}
	}
	return boltfile.Replace(name, path)
}

func size(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
