package boltfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/bandfleet/bandfleet/proto/boltfile"
)

// fill writes a tree of several levels, a nested bucket, a value over several pages and some free pages, and ends with two
// commits of the same content, so that either meta page leads to all of it.
func fill(t *testing.T, path string) map[string]string {
	t.Helper()
	db, err := boltfile.Open(path, boltfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	put := func(b *bbolt.Bucket, key, value string) {
		want[key] = value
		if err := b.Put([]byte(key), boltfile.SealFor([]byte(key), []byte(value))); err != nil {
			t.Fatal(err)
		}
	}
	update := func(fn func(tx *bbolt.Tx) error) {
		if err := db.Update(fn); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx *bbolt.Tx) error {
		b, _ := tx.CreateBucketIfNotExists([]byte("table"))
		nested, _ := b.CreateBucketIfNotExists([]byte("nested"))
		put(nested, "inner", "small")
		for i := range 600 {
			put(b, fmt.Sprintf("key-%04d", i), strings.Repeat("v", i%90))
		}
		put(b, "large", strings.Repeat("l", 20_000))
		return nil
	})
	for range 2 {
		update(func(tx *bbolt.Tx) error { put(tx.Bucket([]byte("table")), "key-0000", "again"); return nil })
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return want
}

// read returns everything, or nil when the bucket is missing.
func read(t *testing.T, db *bbolt.DB) map[string]string {
	t.Helper()
	got := map[string]string{}
	var walk func(b *bbolt.Bucket) error
	walk = func(b *bbolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			if v == nil {
				return walk(b.Bucket(k))
			}
			payload, err := boltfile.UnsealFor(k, v)
			got[string(k)] = string(payload)
			return err
		})
	}
	err := db.View(func(tx *bbolt.Tx) error {
		if tx.Bucket([]byte("table")) == nil {
			got = nil
			return nil
		}
		return walk(tx.Bucket([]byte("table")))
	})
	if err != nil {
		t.Fatalf("read what Open let through: %v", err)
	}
	return got
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	want := fill(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v: want 0600, since a store holds secrets' hashes", info.Mode(), err)
	}
	db, err := boltfile.Open(path, boltfile.Options{Sealed: true})
	if err != nil {
		t.Fatalf("a sound file was refused: %v", err)
	}
	defer db.Close()
	if got := read(t, db); !maps.Equal(got, want) {
		t.Fatalf("%d keys after reopening, want %d", len(got), len(want))
	}
	if left, _ := filepath.Glob(path + ".new-*"); len(left) > 0 {
		t.Errorf("creation left %v behind", left)
	}
}

// A file that grows, shrinks and is reused must never be called corrupt: a false alarm keeps a server from starting.
func TestSoundFileIsNeverRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 30 {
		db, err := boltfile.Open(path, boltfile.Options{Sealed: true})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for range 4 {
			if err := db.Update(func(tx *bbolt.Tx) error { return churn(tx, rnd) }); err != nil {
				t.Fatal(err)
			}
		}
		db.Close()
	}
}

func churn(tx *bbolt.Tx, rnd *rand.Rand) error {
	b, err := tx.CreateBucketIfNotExists(fmt.Appendf(nil, "table-%d", rnd.IntN(5)))
	if err != nil {
		return err
	}
	if rnd.IntN(8) == 0 {
		// An emptied bucket keeps an empty page.
		for key, _ := b.Cursor().First(); key != nil; key, _ = b.Cursor().First() {
			if err := b.Delete(key); err != nil {
				return err
			}
		}
		return nil
	}
	for range rnd.IntN(300) {
		key := fmt.Appendf(nil, "%05d", rnd.IntN(2000))
		if rnd.IntN(3) == 0 {
			err = b.Delete(key)
		} else {
			err = b.Put(key, boltfile.SealFor(key, make([]byte, rnd.IntN(1<<rnd.IntN(14)+1))))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Whatever happens to a file: Open does not fault, says what is wrong, leaves the file as it was; and what it lets through
// reads as it was written.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	want := fill(t, path)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	damage := map[string]func([]byte) []byte{
		"one bit": func(b []byte) []byte { b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8); return b },
		"header":  func(b []byte) []byte { b[rnd.IntN(len(b)/4096)*4096+rnd.IntN(64)] ^= byte(1 + rnd.IntN(255)); return b },
		"number": func(b []byte) []byte {
			copy(b[rnd.IntN(len(b)/8-1)*8:], []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
			return b
		},
		"sector": func(b []byte) []byte { i := rnd.IntN(len(b)/512) * 512; clear(b[i : i+512]); return b },
		"page": func(b []byte) []byte {
			i, j := rnd.IntN(len(b)/4096)*4096, rnd.IntN(len(b)/4096)*4096
			copy(b[i:i+4096], sound[j:j+4096])
			return b
		},
		"cut": func(b []byte) []byte { return b[:rnd.IntN(len(b))] },
	}
	for name, harm := range damage {
		t.Run(name, func(t *testing.T) {
			refused := 0
			for i := range 150 {
				text := harm(bytes.Clone(sound))
				victim := filepath.Join(dir, fmt.Sprintf("%s-%d.db", name, i))
				if err := os.WriteFile(victim, text, 0o600); err != nil {
					t.Fatal(err)
				}
				db, err := boltfile.Open(victim, boltfile.Options{Sealed: true, Advice: "ask for help"})
				if err != nil {
					refused++
					mustBeUntouched(t, victim, text, err)
					os.Remove(victim)
					continue
				}
				// A bucket that is missing is for the caller to notice.
				if got := read(t, db); got != nil && !maps.Equal(got, want) {
					t.Fatalf("damage %d was let through and reads as something else", i)
				}
				db.Close()
				os.Remove(victim)
			}
			if refused == 0 {
				t.Error("no damage of this kind was noticed")
			}
		})
	}
}

func mustBeUntouched(t *testing.T, path string, text []byte, err error) {
	t.Helper()
	var corrupt *boltfile.CorruptError
	if !errors.As(err, &corrupt) || !errors.Is(err, boltfile.ErrCorrupt) {
		t.Fatalf("error %v (%T), want *CorruptError", err, err)
	}
	if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "ask for help") {
		t.Errorf("error %q must name the file and what to do", err)
	}
	if after, readErr := os.ReadFile(path); readErr != nil || !bytes.Equal(after, text) {
		t.Fatalf("the damaged file was changed (%v): it may be somebody's only evidence", readErr)
	}
}

func TestStrangeFiles(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "short": "x", "text": strings.Repeat("not a database\n", 4000), "zero": string(make([]byte, 1<<16))} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.db")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := boltfile.Open(path, boltfile.Options{Advice: "ask for help"})
			mustBeUntouched(t, path, []byte(text), err)
		})
	}
	if _, err := boltfile.Open(t.TempDir(), boltfile.Options{}); err == nil {
		t.Error("a directory was opened as a file")
	}
}

func TestInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := boltfile.Open(path, boltfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = boltfile.Open(path, boltfile.Options{Timeout: time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Fatalf("error %v, want one that says who holds the file", err)
	}
}

func TestSealForBindsTheKey(t *testing.T) {
	record := boltfile.SealFor([]byte("key"), []byte("payload"))
	if got, err := boltfile.UnsealFor([]byte("key"), record); err != nil || string(got) != "payload" {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := boltfile.UnsealFor([]byte("kez"), record); !errors.Is(err, boltfile.ErrCorrupt) {
		t.Error("a record was accepted under another key")
	}
	moved := append(record[:4:4], "ypayload"...)
	if _, err := boltfile.UnsealFor([]byte("ke"), moved); err == nil {
		t.Error("a byte may pass from the key to the payload")
	}
}

func TestSeal(t *testing.T) {
	for _, payload := range []string{"", "x", strings.Repeat("long", 1000)} {
		record := boltfile.SealFor([]byte("key"), []byte(payload))
		got, err := boltfile.UnsealFor([]byte("key"), record)
		if err != nil || string(got) != payload {
			t.Fatalf("UnsealFor(SealFor(%.5q)) = %.5q, %v", payload, got, err)
		}
		for i := range min(len(record), 64) {
			record[i] ^= 0x10
			if _, err := boltfile.UnsealFor([]byte("key"), record); !errors.Is(err, boltfile.ErrCorrupt) {
				t.Fatalf("a flipped bit in byte %d went unnoticed", i)
			}
			record[i] ^= 0x10
		}
	}
	for n := range 5 {
		if _, err := boltfile.UnsealFor([]byte("key"), make([]byte, n)); err == nil {
			t.Errorf("%d zero bytes pass as a record", n)
		}
	}
}

func TestFillIsThereFromTheFirstMoment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	refusal := errors.New("not now")
	if _, err := boltfile.Open(path, boltfile.Options{Fill: func(*bbolt.Tx) error { return refusal }}); !errors.Is(err, refusal) {
		t.Fatalf("error %v, want what Fill said", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
		t.Fatalf("a file that could not be filled left %v behind, %v", left, err)
	}
	fills := 0
	for range 2 {
		db, err := boltfile.Open(path, boltfile.Options{Fill: func(tx *bbolt.Tx) error {
			fills++
			_, err := tx.CreateBucket([]byte("table"))
			return err
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.View(func(tx *bbolt.Tx) error {
			if tx.Bucket([]byte("table")) == nil {
				t.Error("the new file lacks what Fill wrote")
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if fills != 1 {
		t.Errorf("Fill was called %d times, want once: an existing file is never filled", fills)
	}
}

// Who waits for the lock of a file that is replaced meanwhile must not go on with the old one.
func TestAFileThatIsReplacedWhileItIsWaitedForIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "store.db"), filepath.Join(dir, "other.db")
	for _, p := range []string{path, other} {
		db, err := boltfile.Open(p, boltfile.Options{})
		if err != nil {
			t.Fatal(err)
		}
		db.Close()
	}
	synctest.Test(t, func(t *testing.T) {
		held, err := boltfile.Hold(path)
		if err != nil {
			t.Fatal(err)
		}
		opened := make(chan error)
		go func() {
			db, err := boltfile.Open(path, boltfile.Options{Timeout: time.Minute})
			if err == nil {
				db.Close()
			}
			opened <- err
		}()
		synctest.Wait()
		if err := boltfile.Replace(other, path); err != nil {
			t.Fatal(err)
		}
		held.Close()
		if err := <-opened; err == nil || !strings.Contains(err.Error(), "was replaced") {
			t.Errorf("error %v, want that the file was replaced: what is written to the old one is lost", err)
		}
	})
}

func TestHold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	db, err := boltfile.Open(path, boltfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := boltfile.Hold(path); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a file that somebody writes to was held: %v", err)
	}
	db.Close()
	if err := os.WriteFile(path, []byte("damaged beyond reading"), 0o600); err != nil {
		t.Fatal(err)
	}
	held, err := boltfile.Hold(path)
	if err != nil {
		t.Fatalf("a damaged file cannot be replaced: %v", err)
	}
	held.Close()
}
