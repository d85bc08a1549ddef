package storetest

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bandfleet/bandfleet/server/store"
)

// table is the one in which the suite writes; other is another one.
const (
	table = store.TableSites
	other = store.TableBands
)

func put(t *testing.T, s store.Store, keys ...string) {
	t.Helper()
	err := s.Update(t.Context(), func(w store.Writer) error {
		for _, k := range keys {
			if err := w.Put(table, []byte(k), []byte("value of "+k)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("put %q: %v", keys, err)
	}
}

// read returns the value of a key, or "" when there is none.
func read(t *testing.T, s store.Store, key string) string {
	t.Helper()
	var value []byte
	err := s.View(t.Context(), func(v store.Snapshot) (err error) {
		value, err = v.Get(table, []byte(key))
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("get %q: %v", key, err)
	}
	return string(value)
}

func readsWhatWasWritten(t *testing.T, s store.Store) {
	put(t, s, "a", "b")
	if got := read(t, s, "a"); got != "value of a" {
		t.Errorf("a = %q", got)
	}
	err := s.Update(t.Context(), func(w store.Writer) error {
		return errors.Join(w.Delete(table, []byte("a")), w.Delete(table, []byte("never there")), w.Put(table, []byte("b"), nil))
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(t.Context(), func(v store.Snapshot) error {
		if _, err := v.Get(table, []byte("a")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("deleted key: error %v, want ErrNotFound", err)
		}
		if value, err := v.Get(table, []byte("b")); err != nil || len(value) != 0 {
			t.Errorf("an empty value reads as %q, %v: it is not the same as no key", value, err)
		}
		if _, err := v.Get(other, []byte("b")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("key of another table: error %v, want ErrNotFound", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func seesItsOwnWrites(t *testing.T, s store.Store) {
	put(t, s, "old")
	err := s.Update(t.Context(), func(w store.Writer) error {
		if err := errors.Join(w.Put(table, []byte("new"), []byte("1")), w.Delete(table, []byte("old"))); err != nil {
			return err
		}
		if v, err := w.Get(table, []byte("new")); err != nil || string(v) != "1" {
			t.Errorf("own put reads as %q, %v", v, err)
		}
		if _, err := w.Get(table, []byte("old")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("own delete: error %v, want ErrNotFound", err)
		}
		if err := w.Put(table, []byte("old"), []byte("2")); err != nil {
			return err
		}
		if v, err := w.Get(table, []byte("old")); err != nil || string(v) != "2" {
			t.Errorf("put after delete reads as %q, %v", v, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, "old"); got != "2" {
		t.Errorf("put after delete kept %q", got)
	}
}

func valuesAreCopies(t *testing.T, s store.Store) {
	key, value := []byte("key"), []byte("value")
	err := s.Update(t.Context(), func(w store.Writer) error {
		if err := w.Put(table, key, value); err != nil {
			return err
		}
		key[0], value[0] = '!', '!'
		got, err := w.Get(table, []byte("key"))
		if err == nil {
			got[0] = '?'
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, "key"); got != "value" {
		t.Errorf("value = %q: a caller's later change of its own bytes reached the store", got)
	}
}

func scansAreOrdered(t *testing.T, s store.Store) {
	var want []string
	for i := range 300 {
		want = append(want, fmt.Sprintf("k%03d", (i*7)%300))
	}
	for chunk := range slices.Chunk(want, 100) {
		put(t, s, chunk...)
	}
	slices.Sort(want)
	if got := scan(t, s, "", ""); !slices.Equal(got, want) {
		t.Errorf("scan gave %d keys, out of order or incomplete", len(got))
	}
	slices.Reverse(want)
	if got := scanBack(t, s, "", ""); !slices.Equal(got, want) {
		t.Errorf("scan back gave %d keys, out of order or incomplete", len(got))
	}
}

func scansKeepToBounds(t *testing.T, s store.Store) {
	put(t, s, "a", "b", "b\x00", "b1", "b2", "b\xff", "b\xff\xff", "c", "\xff", "\xff\xff")
	for _, c := range []struct{ prefix, from, forward, back string }{
		{"b", "", "b b\x00 b1 b2 b\xff b\xff\xff", "b\xff\xff b\xff b2 b1 b\x00 b"},
		{"b", "b1", "b1 b2 b\xff b\xff\xff", "b1 b\x00 b"},
		{"b", "b11", "b2 b\xff b\xff\xff", "b1 b\x00 b"},
		{"b", "a", "b b\x00 b1 b2 b\xff b\xff\xff", ""},
		{"b", "c", "", "b\xff\xff b\xff b2 b1 b\x00 b"},
		{"b\xff", "", "b\xff b\xff\xff", "b\xff\xff b\xff"},
		{"\xff", "", "\xff \xff\xff", "\xff\xff \xff"},
		{"", "b2", "b2 b\xff b\xff\xff c \xff \xff\xff", "b2 b1 b\x00 b a"},
		{"", "\xff\xff\xff", "", "\xff\xff \xff c b\xff\xff b\xff b2 b1 b\x00 b a"},
		{"x", "", "", ""},
	} {
		if got := strings.Join(scan(t, s, c.prefix, c.from), " "); got != c.forward {
			t.Errorf("scan of %q from %q: %q, want %q", c.prefix, c.from, got, c.forward)
		}
		if got := strings.Join(scanBack(t, s, c.prefix, c.from), " "); got != c.back {
			t.Errorf("scan back of %q from %q: %q, want %q", c.prefix, c.from, got, c.back)
		}
	}
	n := 0
	err := s.View(t.Context(), func(v store.Snapshot) error {
		return v.Scan(table, nil, nil, func(_, _ []byte) bool { n++; return n < 3 })
	})
	if err != nil || n != 3 {
		t.Errorf("a scan told to stop at 3 gave %d, %v", n, err)
	}
}

func scan(t *testing.T, s store.Store, prefix, from string) []string {
	return scanWith(t, s, store.Snapshot.Scan, prefix, from)
}

func scanBack(t *testing.T, s store.Store, prefix, from string) []string {
	return scanWith(t, s, store.Snapshot.ScanBack, prefix, from)
}

type scanner func(store.Snapshot, store.Table, []byte, []byte, func(k, v []byte) bool) error

func scanWith(t *testing.T, s store.Store, f scanner, prefix, from string) (keys []string) {
	t.Helper()
	var start []byte
	if from != "" {
		start = []byte(from)
	}
	err := s.View(t.Context(), func(v store.Snapshot) error {
		return f(v, table, []byte(prefix), start, func(k, value []byte) bool {
			if string(value) != "value of "+string(k) {
				t.Errorf("key %q came with value %q", k, value)
			}
			keys = append(keys, string(k))
			return true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// viewsAreConsistent writes two keys always together, and looks at both while that goes on.
func viewsAreConsistent(t *testing.T, s store.Store) {
	const rounds = 200
	keys := [2][]byte{[]byte("x"), []byte("y")}
	write := func(i uint64) error {
		return s.Update(t.Context(), func(w store.Writer) error {
			return errors.Join(w.Put(table, keys[0], store.Number(i)), w.Put(table, keys[1], store.Number(i)))
		})
	}
	if err := write(0); err != nil {
		t.Fatal(err)
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range uint64(rounds) {
			if err := write(i + 1); err != nil {
				t.Error(err)
			}
		}
	})
	for range rounds {
		err := s.View(t.Context(), func(v store.Snapshot) error {
			x, errX := v.Get(table, keys[0])
			runtime.Gosched()
			y, errY := v.Get(table, keys[1])
			if string(x) != string(y) {
				t.Errorf("one view sees x = %x and y = %x, which were always written together", x, y)
			}
			return errors.Join(errX, errY)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	writer.Wait()
}
