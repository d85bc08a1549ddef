package upkeep

import (
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/pki"
	"github.com/bandfleet/bandfleet/server/store"
)

// firstRelease is a data directory whose store the first release wrote (testdata/schema-1.db.gz): two terminals at lyon, five
// jobs that are done, one that waits for an offline terminal and one that runs.
func firstRelease(t *testing.T) string {
	t.Helper()
	packed, err := os.Open(filepath.Join("testdata", "schema-1.db.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	r, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := pki.Open(pki.Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(Path(dir), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

var migrationDay = time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)

func TestTheFirstReleasesStoreIsMigrated(t *testing.T) {
	dir := firstRelease(t)
	before, _ := os.ReadFile(Path(dir))
	old, err := Migrate(t.Context(), dir, migrationDay)
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(old); err != nil || string(kept) != string(before) {
		t.Errorf("the old store must stay as it was, for the way back: %v", err)
	}
	lines, err := check(t, Path(dir))
	if err != nil || !strings.Contains(lines, "7 jobs (2 of them active), 8 tasks") {
		t.Errorf("the migrated store: %v\n%s", err, lines)
	}
	bounded := 0
	for _, rec := range storedJobs(t, dir) {
		job := rec.GetJob()
		if job.GetMaxConcurrent() != 0 || len(job.GetRollout().GetWaves()) != 1 || rec.GetServable() != job.GetCounts().GetTotal() { //nolint:staticcheck // what it is about
			t.Errorf("job %s has no rollout of its own: %v", job.GetId(), job)
		}
		if job.GetRollout().GetOnLimit() != fleetv1.LimitAction_LIMIT_ACTION_CONTINUE || job.GetInUse() != fleetv1.InUse_IN_USE_PROCEED {
			t.Errorf("job %s would behave otherwise than it was asked for: %v", job.GetId(), job)
		}
		if job.GetRollout().GetMaxConcurrent().GetCount() > 0 {
			bounded++
		}
	}
	if bounded != 3 {
		t.Errorf("%d jobs kept their bound of what runs at once, want 3", bounded)
	}
	if again, err := Migrate(t.Context(), dir, migrationDay); err != nil || again != "" {
		t.Errorf("the second time there was something to do: %q, %v", again, err)
	}
}

func storedJobs(t *testing.T, dir string) []*storagev1.JobRecord {
	t.Helper()
	st, err := store.OpenReadOnly(Path(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var all []*storagev1.JobRecord
	err = st.View(t.Context(), func(v store.Snapshot) error {
		return v.Scan(store.TableJobs, nil, nil, func(_, value []byte) bool {
			rec := &storagev1.JobRecord{}
			if err := proto.Unmarshal(value, rec); err != nil {
				t.Fatal(err)
			}
			all = append(all, rec)
			return true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAnOldStoreIsRefusedUntilItIsMigrated(t *testing.T) {
	dir := firstRelease(t)
	same := unchanged(t, dir)
	var old *store.OldSchemaError
	if _, err := store.Open(Path(dir)); !errors.As(err, &old) || old.Version != 1 {
		t.Errorf("open: %v, want an error that names version 1", err)
	}
	_, err := check(t, Path(dir))
	wantError(t, err, "`fleetd serve` once")
	_, err = Backup(t.Context(), dir, filepath.Join(t.TempDir(), "b.db"))
	wantError(t, err, "`fleetd serve` once")
	same()
}

func TestABackupOfTheFirstReleaseIsRestored(t *testing.T) {
	from := Path(firstRelease(t))
	dir := dataDir(t, "turin")
	done, err := Restore(t.Context(), Restoration{DataDir: dir, From: from, Replace: true, Now: migrationDay}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if done.Withdrawn != 2 {
		t.Errorf("%d jobs were withdrawn, want the 2 that were active", done.Withdrawn)
	}
	if lines, err := check(t, Path(dir)); err != nil {
		t.Errorf("the restored store: %v\n%s", err, lines)
	}
}

// A migration that cannot be finished leaves the store, and nothing else, behind.
func TestAMigrationThatFailsChangesNothing(t *testing.T) {
	dir := firstRelease(t)
	blocker := Path(dir) + ".migrated-" + migrationDay.Format("20060102T150405.000Z")
	if err := os.WriteFile(blocker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	same := unchanged(t, dir)
	_, err := Migrate(t.Context(), dir, migrationDay)
	wantError(t, err, "move aside")
	same()
}

func TestAStoreInUseIsNotMigrated(t *testing.T) {
	dir := firstRelease(t)
	held, err := store.MigrateInto(Path(dir), filepath.Join(t.TempDir(), "copy.db"), migrations())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if old, err := Migrate(t.Context(), dir, migrationDay); old != "" || err != nil {
		t.Errorf("a second migration began beside the first: %q, %v", old, err)
	}
	_, err = store.Open(Path(dir))
	wantError(t, err, "in use by another process")
}

// Every release's schema is reached from the first, without a gap.
func TestMigrationsAreAChain(t *testing.T) {
	for i, m := range migrations() {
		if m.From != uint64(i+1) {
			t.Errorf("migration %d begins with version %d", i, m.From)
		}
	}
	if last := len(migrations()) + 1; last != store.SchemaVersion {
		t.Errorf("migrations lead to version %d, the schema is %d", last, store.SchemaVersion)
	}
}
