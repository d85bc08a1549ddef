package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// Verify compares the records of artefacts with their indexes. The error names the first that does not agree; found says in
// words how many there are. It looks at no file: a backup has none.
func Verify(ctx context.Context, st store.Store) (found string, err error) {
	err = st.View(ctx, func(v store.Snapshot) error {
		records := 0
		var bad error
		err := v.Scan(store.TableArtifacts, nil, nil, func(key, text []byte) bool {
			records++
			if bad = errors.Join(ctx.Err(), verifyRecord(v, string(key), text)); bad != nil {
				bad = fmt.Errorf("artefact %q: %w", key, bad)
			}
			return bad == nil
		})
		if err := errors.Join(err, bad); err != nil {
			return err
		}
		found = fmt.Sprintf("%d artefacts", records)
		for _, t := range []store.Table{store.TableArtifactJobs, store.TableArtifactTerminals, store.TableArtifactFiles} {
			if err := wantCount(v, t, records); err != nil {
				return err
			}
		}
		return nil
	})
	return found, err
}

func verifyRecord(v store.Snapshot, id string, text []byte) error {
	a, err := parse(id, text)
	if err != nil {
		return err
	}
	if a.GetId() != id || !validID(id) {
		return fmt.Errorf("in its place lies artefact %q", a.GetId())
	}
	for table, key := range map[store.Table][]byte{
		store.TableArtifactJobs:      store.ArtifactJobKey(a.GetJobId(), id),
		store.TableArtifactTerminals: store.ArtifactTerminalKey(a.GetTerminalId(), id),
	} {
		if _, err := v.Get(table, key); err != nil {
			return fmt.Errorf("its record in table %q: %w", table, err)
		}
	}
	other, err := same(v, a)
	if err == nil && other.GetId() != id {
		err = fmt.Errorf("it leads to artefact %q", other.GetId())
	}
	if err != nil {
		return fmt.Errorf("table %q: %w", store.TableArtifactFiles, err)
	}
	return nil
}

// wantCount wants an index to hold only what belongs to a record.
func wantCount(v store.Snapshot, t store.Table, want int) error {
	n := 0
	err := v.Scan(t, nil, nil, func(_, _ []byte) bool { n++; return true })
	if err == nil && n != want {
		err = fmt.Errorf("table %q: holds %d records, and there are %d artefacts", t, n, want)
	}
	return err
}

// maxNamed is how many files at fault are named.
const maxNamed = 20

// VerifyFiles reads the files of a stopped server and compares them with their records. The error names those that are gone or
// damaged; found says in words what there is, files that no record names included.
func VerifyFiles(ctx context.Context, st store.Store, dir string) (found string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "no files", wantNoRecords(ctx, st)
		}
		return "", err
	}
	defer root.Close()
	named := map[string]bool{}
	var faults []error
	err = each(ctx, st, "", func(a *fleetv1.Artifact) bool {
		named[a.GetId()] = true
		if err := verifyFile(root, a); err != nil {
			faults = append(faults, fmt.Errorf("artefact %q of terminal %q, job %q: %w", a.GetId(), a.GetTerminalName(), a.GetJobId(), err))
		}
		return len(faults) < maxNamed && ctx.Err() == nil
	})
	if err = errors.Join(err, ctx.Err(), errors.Join(faults...)); err != nil {
		return "", err
	}
	entries, err := fs.ReadDir(root.FS(), ".")
	odd := 0
	for _, e := range entries {
		if !named[e.Name()] {
			odd++
		}
	}
	return fmt.Sprintf("%d files, and %d that belong to no artefact", len(entries)-odd, odd), err
}

func wantNoRecords(ctx context.Context, st store.Store) error {
	some, err := store.Any(ctx, st, store.TableArtifacts)
	if err == nil && some {
		err = errors.New("the folder of files is gone, and the store has artefacts")
	}
	return err
}

// verifyFile reads a file that is complete; of one that is not, nothing can be said.
func verifyFile(root *os.Root, a *fleetv1.Artifact) error {
	if !a.GetComplete() {
		return nil
	}
	sum, err := hashFile(root, a.GetId())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("its file is gone")
	case err != nil:
		return err
	case sum != a.GetSha256():
		return errDamaged
	}
	return nil
}
