package upkeep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/store"
)

// Migrate brings the store of a stopped server, if an earlier release wrote it, to this release's schema, and returns where the
// old one lies now; empty when there was nothing to do. The migrated copy is checked from end to end before it takes the place of the
// store, in one step; when anything fails the store is as it was.
func Migrate(ctx context.Context, dataDir string, now time.Time) (old string, err error) {
	path := Path(dataDir)
	due, err := isOld(path)
	if err != nil || !due {
		return "", err
	}
	tmp, held, err := migratedCopy(path, path)
	if err != nil {
		return "", err
	}
	defer held.Close()
	defer os.Remove(tmp)
	if err := recordMigration(ctx, tmp, now); err != nil {
		return "", err
	}
	if err := Check(ctx, tmp, quiet); err != nil {
		return "", fmt.Errorf("store %q: its migrated copy is not sound, and it was left as it is: %w", path, err)
	}
	if old, err = moveAside(path, "migrated", now); err != nil {
		return "", err
	}
	return old, replace(held, tmp, path)
}

// isOld reports whether an earlier release wrote the store. One that is not there or cannot be read is not old: whoever opens it next
// says what is wrong with it.
func isOld(path string) (bool, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	st, err := store.OpenReadOnly(path)
	var old *store.OldSchemaError
	switch {
	case errors.As(err, &old):
		return true, nil
	case err != nil:
		return false, nil //nolint:nilerr // see above
	}
	return false, st.Close()
}

// migratedCopy makes a copy of the store at from next to path, with this release's schema. Nobody can open the store before held is closed.
func migratedCopy(from, path string) (name string, held io.Closer, err error) {
	tmp, err := besides(path, "migrating")
	if err != nil {
		return "", nil, err
	}
	name = tmp.Name()
	// The store wants to make the file itself.
	if err := errors.Join(tmp.Close(), os.Remove(name)); err != nil {
		return "", nil, err
	}
	if held, err = store.MigrateInto(from, name, migrations()); err != nil {
		return "", nil, errors.Join(err, ignoreMissing(os.Remove(name)))
	}
	return name, held, nil
}

func recordMigration(ctx context.Context, path string, now time.Time) error {
	st, err := store.Open(path)
	if err != nil {
		return err
	}
	err = st.Update(ctx, func(w store.Writer) error {
		entry := audit.Entry{Verb: "store.migrate", Object: "store"}
		entry.Changes = append(entry.Changes, audit.Change("schema", "", fmt.Sprint(store.SchemaVersion)))
		return audit.Append(w, now, entry)
	})
	return errors.Join(err, st.Close())
}

// moveAside gives the store that is there a second name and returns that, empty when there is none. The first stays until the new
// store takes it, so that there is one at any time: a server that found none would begin an empty one.
func moveAside(path, why string, now time.Time) (string, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	aside := path + "." + why + "-" + now.UTC().Format("20060102T150405.000Z")
	if err := os.Link(path, aside); err != nil {
		return "", fmt.Errorf("store %q: move aside to %q: %w; move it away by hand and try again", path, filepath.Base(aside), err)
	}
	return aside, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
