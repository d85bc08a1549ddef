package upkeep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/bandfleet/bandfleet/proto/boltfile"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/jobs"
	"github.com/bandfleet/bandfleet/server/pki"
	"github.com/bandfleet/bandfleet/server/store"
)

// Restoration says what a restore is to do.
type Restoration struct {
	DataDir string
	// From is the backup.
	From string
	// Replace moves a store that is there aside.
	Replace bool
	Now     time.Time
}

// Restored says what a restore has done.
type Restored struct {
	// Epoch is the store's new one.
	Epoch uint64
	// Withdrawn is how many jobs were active in the backup.
	Withdrawn int
	// MovedTo is where the store lies that was there before, empty when there was none.
	MovedTo string
}

// Restore makes a backup the store of a stopped server. Nothing in the data directory is touched before the backup was checked
// from end to end and its copy is ready: then it takes its place in one step. say is told what was found sound in it.
func Restore(ctx context.Context, r Restoration, say func(line string)) (*Restored, error) {
	path := Path(r.DataDir)
	held, err := r.admit(path)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	tmp, err := r.copy(path)
	if err != nil {
		return nil, fmt.Errorf("backup %q: %w", r.From, err)
	}
	defer os.Remove(tmp)
	// The copy, so that what was checked is what is used.
	if err := Check(ctx, tmp, say); err != nil {
		return nil, fmt.Errorf("backup %q: is not sound, and nothing was changed: %w", r.From, err)
	}
	done, err := r.prepare(ctx, tmp)
	if err != nil {
		return nil, fmt.Errorf("backup %q: %w", r.From, err)
	}
	if done.MovedTo, err = moveAside(path, "replaced", r.Now); err != nil {
		return nil, err
	}
	return done, replace(held, tmp, path)
}

// admit decides whether the data directory can take a store, and keeps servers away from the one that is there.
func (r Restoration) admit(path string) (io.Closer, error) {
	if err := pki.Present(r.DataDir); err != nil {
		return nil, err
	}
	_, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return io.NopCloser(nil), nil
	case err != nil:
		return nil, err
	case !r.Replace:
		return nil, fmt.Errorf("store %q: is there already, and nothing was changed; with --replace it is moved aside", path)
	}
	return boltfile.Hold(path)
}

// copy makes a copy of the backup next to path, of this release's schema, and returns its name.
func (r Restoration) copy(path string) (string, error) {
	name, err := copyFile(r.From, path)
	if err != nil {
		return "", err
	}
	old, err := isOld(name)
	if err != nil || !old {
		return name, err
	}
	defer os.Remove(name)
	migrated, held, err := migratedCopy(name, path)
	if err != nil {
		return "", err
	}
	return migrated, held.Close()
}

// prepare makes the copy of the backup ready for a fleet that went on without it.
func (r Restoration) prepare(ctx context.Context, path string) (*Restored, error) {
	st, err := store.Open(path)
	if err != nil {
		return nil, err
	}
	done := &Restored{}
	before, err := store.Epoch(ctx, st)
	if err == nil {
		done.Epoch, err = store.MarkRestored(ctx, st, r.Now)
	}
	if err == nil {
		done.Withdrawn, err = jobs.Withdraw(ctx, st, r.Now)
	}
	if err == nil {
		err = st.Update(ctx, func(w store.Writer) error {
			change := audit.Change("epoch", fmt.Sprint(before), fmt.Sprint(done.Epoch))
			entry := audit.Entry{Verb: "store.restore", Object: "store"}
			entry.Changes = append(entry.Changes, change)
			return audit.Append(w, r.Now, entry)
		})
	}
	return done, errors.Join(err, st.Close())
}
