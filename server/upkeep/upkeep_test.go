package upkeep

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/pki"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ada = identity.Name{Kind: identity.KindOperator, ID: "ada"}

// dataDir is the data directory of a server with these sites, stopped.
func dataDir(t *testing.T, sites ...string) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := pki.Open(pki.Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(Path(dir))
	if err != nil {
		t.Fatal(err)
	}
	addSites(t, st, sites...)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func addSites(t *testing.T, st store.Store, sites ...string) {
	t.Helper()
	inv := inventory.New(inventory.Config{Store: st})
	for _, site := range sites {
		if _, err := inv.CreateSite(t.Context(), ada, &fleetv1.CreateSiteRequest{Name: site, RequestId: site}); err != nil {
			t.Fatal(err)
		}
	}
}

// backupOf takes a backup of a data directory.
func backupOf(t *testing.T, dir string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "store.bak")
	if _, err := Backup(t.Context(), dir, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func check(t *testing.T, path string) (string, error) {
	t.Helper()
	var lines []string
	err := Check(t.Context(), path, func(line string) { lines = append(lines, line) })
	return strings.Join(lines, "\n"), err
}

// contents are the files of a directory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found[e.Name()] = string(text)
	}
	return found
}

// unchanged returns a function that fails the test when the directory is not as it was.
func unchanged(t *testing.T, dir string) func() {
	before := contents(t, dir)
	return func() {
		t.Helper()
		after := contents(t, dir)
		for name, text := range after {
			if was, ok := before[name]; !ok || was != text {
				t.Errorf("%s is new or changed; nothing may be touched", name)
			}
		}
		if len(after) != len(before) {
			t.Errorf("%d files were %d", len(after), len(before))
		}
	}
}

func wantError(t *testing.T, err error, says string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("error %v, want one that says %q", err, says)
	}
}

func TestCheckSaysWhatItChecked(t *testing.T) {
	dir := dataDir(t, "lyon", "basel")
	same := unchanged(t, dir)
	said, err := check(t, Path(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"every page", "schema: version 2", "2 sites", "2 requests", "0 jobs", "2 chains of 2 records"} {
		if !strings.Contains(said, want) {
			t.Errorf("it said\n%s\nwant also %q", said, want)
		}
	}
	same()
}

func TestCheckNamesTheFault(t *testing.T) {
	spoilt := func(t *testing.T, spoil func(store.Writer) error) string {
		dir := dataDir(t, "lyon")
		st, err := store.Open(Path(dir))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(st.Update(t.Context(), spoil), st.Close()); err != nil {
			t.Fatal(err)
		}
		return Path(dir)
	}
	t.Run("a page", func(t *testing.T) {
		path := Path(dataDir(t, "lyon"))
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte("lyon"), []byte("LYON")), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = check(t, path)
		wantError(t, err, "does not agree with its checksum")
	})
	t.Run("an audit record", func(t *testing.T) {
		_, err := check(t, spoilt(t, func(w store.Writer) error { return w.Delete(store.TableAudit, store.AuditKey("lyon", 1)) }))
		wantError(t, err, `audit: audit chain`)
	})
	t.Run("a counter", func(t *testing.T) {
		_, err := check(t, spoilt(t, func(w store.Writer) error {
			return w.Put(store.TableMeta, store.Key(store.KeyAdministrators), store.Number(3))
		}))
		wantError(t, err, `inventory: table "meta": record "administrators"`)
	})
	t.Run("no store", func(t *testing.T) {
		_, err := check(t, filepath.Join(t.TempDir(), StoreFile))
		wantError(t, err, "is not there")
	})
}

func TestBackupOfAStoppedServer(t *testing.T) {
	dir := dataDir(t, "lyon")
	same := unchanged(t, dir)
	out := backupOf(t, dir)
	if said, err := check(t, out); err != nil || !strings.Contains(said, "1 sites") {
		t.Errorf("the backup: %s, %v", said, err)
	}
	if _, err := Backup(t.Context(), dir, out); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v, want that the backup is not written over", err)
	}
	same()
	st, err := store.Open(Path(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	_, err = Backup(t.Context(), dir, out+"2")
	wantError(t, err, "in use by another process")
}

func TestRestoreIntoANewDataDirectory(t *testing.T) {
	old := dataDir(t, "lyon")
	backup := backupOf(t, old)
	dir := t.TempDir()
	_, err := Restore(t.Context(), Restoration{DataDir: dir, From: backup, Now: time.Now()}, quiet)
	wantError(t, err, "copy ca.crt and ca.key")
	for _, name := range []string{"ca.crt", "ca.key"} {
		if err := os.Rename(filepath.Join(old, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	done, err := Restore(t.Context(), Restoration{DataDir: dir, From: backup, Now: time.Now()}, quiet)
	if err != nil || done.MovedTo != "" {
		t.Fatalf("%+v, %v", done, err)
	}
	if said, err := check(t, Path(dir)); err != nil || !strings.Contains(said, fmt.Sprintf("epoch %d", done.Epoch)) {
		t.Errorf("the restored store: %s, %v", said, err)
	}
}

// Restored twice from one backup, a store has two epochs: agents have met the first one.
func TestRestoreReplacesOnlyWhenAskedAndRaisesTheEpoch(t *testing.T) {
	dir := dataDir(t, "lyon")
	backup := backupOf(t, dir)
	st, err := store.Open(Path(dir))
	if err != nil {
		t.Fatal(err)
	}
	addSites(t, st, "basel")
	before, err := store.Epoch(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	r := Restoration{DataDir: dir, From: backup, Replace: true, Now: time.Now().Add(time.Hour)}
	_, err = Restore(t.Context(), r, quiet)
	wantError(t, err, "in use by another process")
	st.Close()

	same := unchanged(t, dir)
	_, err = Restore(t.Context(), Restoration{DataDir: dir, From: backup, Now: time.Now()}, quiet)
	wantError(t, err, "--replace")
	same()

	last := before
	for range 2 {
		done, err := Restore(t.Context(), r, quiet)
		if err != nil {
			t.Fatal(err)
		}
		if done.Epoch <= last {
			t.Errorf("epoch %d after %d: tasks of the server before could still be taken", done.Epoch, last)
		}
		last = done.Epoch
		if _, err := check(t, done.MovedTo); err != nil {
			t.Errorf("the store that was there: %v", err)
		}
		r.Now = r.Now.Add(time.Minute)
	}
	said, err := check(t, Path(dir))
	if err != nil || !strings.Contains(said, "1 sites") {
		t.Errorf("the restored store: %s, %v; want the one site of the backup", said, err)
	}
	if left := slices.Sorted(maps.Keys(contents(t, dir))); len(left) != 5 {
		t.Errorf("left are %v, want the CA, the store and the two that were moved aside", left)
	}
}

func TestABackupThatIsNotSoundIsRefused(t *testing.T) {
	dir := dataDir(t, "lyon")
	backup := backupOf(t, dir)
	text, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	unsealed := bytes.ReplaceAll(text, []byte("lyon"), []byte("LYON"))
	for name, damaged := range map[string][]byte{"changed": unsealed, "cut off": text[:len(text)-5000], "empty": nil, "something else": []byte("#!/bin/sh\n")} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(backup, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			same := unchanged(t, dir)
			_, err := Restore(t.Context(), Restoration{DataDir: dir, From: backup, Replace: true, Now: time.Now()}, quiet)
			wantError(t, err, "nothing was changed")
			same()
		})
	}
}

// A store that no server can open can still be replaced: that is what backups are for.
func TestADamagedStoreIsReplaced(t *testing.T) {
	dir := dataDir(t, "lyon")
	backup := backupOf(t, dir)
	if err := os.WriteFile(Path(dir), []byte("ruins"), 0o600); err != nil {
		t.Fatal(err)
	}
	done, err := Restore(t.Context(), Restoration{DataDir: dir, From: backup, Replace: true, Now: time.Now()}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(done.MovedTo); err != nil || string(text) != "ruins" {
		t.Errorf("moved aside is %q, %v; want the damaged store, for whoever looks into it", text, err)
	}
	if _, err := check(t, Path(dir)); err != nil {
		t.Error(err)
	}
}

func TestCompact(t *testing.T) {
	dir := dataDir(t, "lyon")
	st, err := store.Open(Path(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, fill := range []bool{true, false} {
		for i := range 100 {
			err := st.Update(t.Context(), func(w store.Writer) error {
				if fill {
					return w.Put(store.TableBands, fmt.Append(nil, i), make([]byte, 10_000))
				}
				return w.Delete(store.TableBands, fmt.Append(nil, i))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	_, _, err = Compact(t.Context(), dir)
	wantError(t, err, "in use by another process")
	st.Close()
	before, after, err := Compact(t.Context(), dir)
	if err != nil || before < 1_000_000 || after > before/4 {
		t.Errorf("from %d to %d bytes, %v", before, after, err)
	}
	if info, err := os.Stat(Path(dir)); err != nil || info.Size() != after || info.Mode().Perm() != 0o600 {
		t.Errorf("the store is %v, %v", info, err)
	}
	if said, err := check(t, Path(dir)); err != nil || !strings.Contains(said, "1 sites") {
		t.Errorf("%s, %v", said, err)
	}
	if left := contents(t, dir); len(left) != 3 {
		t.Errorf("%d files are left, want the store and the CA", len(left))
	}
}

func TestCompactLeavesAnUnsoundStoreAlone(t *testing.T) {
	dir := dataDir(t, "lyon")
	st, err := store.Open(Path(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Update(t.Context(), func(w store.Writer) error { return w.Delete(store.TableAuditHeads, store.Key("lyon")) }); err != nil {
		t.Fatal(err)
	}
	st.Close()
	same := unchanged(t, dir)
	_, _, err = Compact(t.Context(), dir)
	wantError(t, err, `its head is missing; it was left as it is`)
	same()
}

// Only one copy is made at a time, and a reader that goes away ends its own.
func TestBackupsOfARunningServer(t *testing.T) {
	dir := dataDir(t, "lyon")
	st, err := store.Open(Path(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	b := NewBackups(st, Path(dir), time.Now)
	var copied bytes.Buffer
	var inner error
	summary, err := b.Send(t.Context(), ada, "weekly", func(p []byte) error {
		if copied.Len() == 0 {
			_, inner = b.Send(t.Context(), ada, "", func([]byte) error { return nil })
		}
		copied.Write(p)
		return nil
	})
	if err != nil || summary.GetSize() != uint64(copied.Len()) {
		t.Fatalf("%v, %v; sent were %d bytes", summary, err, copied.Len())
	}
	var refused *refusal.Error
	if !errors.As(inner, &refused) || refused.Reason != "BACKUP_RUNNING" {
		t.Errorf("a second one at the same time: %v", inner)
	}
	path := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(path, copied.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := check(t, path); err != nil || !strings.Contains(said, "2 chains of 2 records") {
		t.Errorf("%s, %v; want the record of the backup in the backup", said, err)
	}
	gone := errors.New("the reader went away")
	if _, err := b.Send(t.Context(), ada, "", func([]byte) error { return gone }); !errors.Is(err, gone) {
		t.Errorf("error %v", err)
	}
	if _, err := b.Send(t.Context(), ada, "two\nlines", nil); !errors.As(err, &refused) || refused.Field != "reason" {
		t.Errorf("a reason with a line break: %v", err)
	}
	if left := contents(t, dir); len(left) != 3 {
		t.Errorf("%d files are left, want the store and the CA", len(left))
	}
}
