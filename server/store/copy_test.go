package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/bandfleet/bandfleet/proto/boltfile"
	"github.com/bandfleet/bandfleet/server/store"
)

// pair writes the same value under two keys in one update.
func pair(ctx context.Context, s store.Store, value string) error {
	return s.Update(ctx, func(w store.Writer) error {
		return errors.Join(
			w.Put(store.TableSites, []byte("one"), []byte(value)),
			w.Put(store.TableBands, []byte("two"), []byte(value)),
			w.Put(store.TableRequests, []byte("r"+value), make([]byte, 500)))
	})
}

// A copy that is taken while updates are committed is of one moment, and is sound.
func TestACopyOfABusyStoreIsConsistent(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "store.db"))
	defer s.Close()
	if err := pair(t.Context(), s, "first"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := pair(ctx, s, fmt.Sprint(i)); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	for i := range 20 {
		path := filepath.Join(dir, fmt.Sprint("copy", i))
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.WriteTo(t.Context(), f), f.Close()); err != nil {
			t.Fatal(err)
		}
		checkPair(t, path)
	}
	stop()
	writer.Wait()
}

func checkPair(t *testing.T, path string) {
	t.Helper()
	c, err := store.OpenReadOnly(path)
	if err != nil {
		t.Fatalf("the copy is not sound: %v", err)
	}
	defer c.Close()
	err = c.View(t.Context(), func(v store.Snapshot) error {
		one, err := v.Get(store.TableSites, []byte("one"))
		two, err2 := v.Get(store.TableBands, []byte("two"))
		if string(one) != string(two) {
			t.Errorf("the copy holds %q and %q, which were never there together", one, two)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAnEndedCopyStops(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"))
	defer s.Close()
	ctx, stop := context.WithCancel(t.Context())
	first := true
	err := s.WriteTo(ctx, writerFunc(func(p []byte) (int, error) {
		if !first {
			t.Error("it writes on after its caller went away")
		}
		first = false
		stop()
		return len(p), nil
	}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was cancelled", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestAReadOnlyStoreKeepsServersAwayAndTakesNoUpdate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	open(t, path).Close()
	s, err := store.OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := pair(t.Context(), s, "x"); err == nil {
		t.Error("an update of a store that is only read was taken")
	}
	if other, err := store.Open(path); err == nil {
		other.Close()
		t.Error("another process can write what is being read")
	}
	if _, err := store.OpenReadOnly(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a store that is not there: %v", err)
	}
}

func TestAReadOnlyStoreIsNotMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	db, err := boltfile.Open(path, boltfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	if _, err := store.OpenReadOnly(path); err == nil {
		t.Error("a file without a store in it was taken for one")
	}
}

func TestCompactIntoKeepsEveryRecord(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "store.db"))
	defer s.Close()
	for i := range 300 {
		if err := pair(t.Context(), s, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	small := filepath.Join(dir, "small.db")
	if err := s.CompactInto(small); err != nil {
		t.Fatal(err)
	}
	c, err := store.OpenReadOnly(small)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	n := 0
	err = c.View(t.Context(), func(v store.Snapshot) error {
		return v.Scan(store.TableRequests, nil, nil, func(_, _ []byte) bool { n++; return true })
	})
	if err != nil || n != 300 {
		t.Errorf("%d records, %v; want 300", n, err)
	}
}
