package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/bandfleet/bandfleet/proto/boltfile"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBoltConforms(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		s, err := store.Open(filepath.Join(t.TempDir(), "store.db"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestReopenKeepsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	epoch, err := store.Epoch(t.Context(), s)
	if err != nil || epoch == 0 {
		t.Fatalf("epoch %d, %v", epoch, err)
	}
	if err := s.Update(t.Context(), func(w store.Writer) error { return w.Put(store.TableSites, []byte("lyon"), []byte("x")) }); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = open(t, path)
	defer s.Close()
	if again, err := store.Epoch(t.Context(), s); err != nil || again != epoch {
		t.Errorf("epoch %d, %v after a restart, want %d: agents would refuse tasks of before", again, err, epoch)
	}
	if err := s.View(t.Context(), func(v store.Snapshot) error { _, err := v.Get(store.TableSites, []byte("lyon")); return err }); err != nil {
		t.Errorf("what was written is gone: %v", err)
	}
	raised, err := store.RaiseEpoch(t.Context(), s, epoch+7)
	if err != nil || raised != epoch+8 {
		t.Errorf("raised epoch %d, %v, want %d", raised, err, epoch+8)
	}
	if same, err := store.RaiseEpoch(t.Context(), s, epoch); err != nil || same != raised {
		t.Errorf("epoch %d, %v: it must never go back from %d", same, err, raised)
	}
}

func open(t *testing.T, path string) *store.Bolt {
	t.Helper()
	s, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOtherSchemaVersionIsRefusedUntouched(t *testing.T) {
	for name, want := range map[string]string{"version 9": "schema version 9", "no store": "not a store of fleetd"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			db, err := boltfile.Open(path, boltfile.Options{})
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(func(tx *bbolt.Tx) error {
				b, err := tx.CreateBucket([]byte(map[string]string{"version 9": "meta", "no store": "journal"}[name]))
				return errors.Join(err, b.Put([]byte("version"), boltfile.SealFor([]byte("version"), store.Number(9))))
			})
			if err != nil {
				t.Fatal(err)
			}
			db.Close()
			before, _ := os.ReadFile(path)
			_, err = store.Open(path)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("error %v, want one that says %q", err, want)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the refused file was changed")
			}
		})
	}
}

func TestDamagedRecordIsRefusedUntouched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	needle := []byte("a value that can be found in the file")
	if err := s.Update(t.Context(), func(w store.Writer) error { return w.Put(store.TableSites, []byte("lyon"), needle) }); err != nil {
		t.Fatal(err)
	}
	s.Close()
	text, _ := os.ReadFile(path)
	damaged := bytes.ReplaceAll(text, needle, bytes.ToUpper(needle))
	for name, text := range map[string][]byte{"changed": damaged, "cut": text[:len(text)-9000], "empty": nil} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := store.Open(path)
		if !errors.Is(err, boltfile.ErrCorrupt) || !strings.Contains(err.Error(), "fleetd restore") {
			t.Errorf("%s: error %v, want one that says what to do", name, err)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(after, text) {
			t.Errorf("%s: the refused file was changed", name)
		}
	}
}

// Refusals and repetitions write nothing, and strangers can ask for them: they must not make the disk work.
func TestAnUpdateThatWritesNothingLeavesTheFileAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	st := open(t, path)
	defer st.Close()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refusal := errors.New("no")
	if err := st.Update(t.Context(), func(store.Writer) error { return refusal }); !errors.Is(err, refusal) {
		t.Errorf("error %v, want the update's own", err)
	}
	if err := st.Update(t.Context(), func(store.Writer) error { return nil }); err != nil {
		t.Error(err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("the file was written")
	}
}

func BenchmarkUpdate(b *testing.B) {
	s := storetest.New(b)
	value := make([]byte, 300)
	const workers = 1000
	var all sync.WaitGroup
	b.ResetTimer()
	for worker := range workers {
		all.Go(func() {
			for i := worker; i < b.N; i += workers {
				err := s.Update(context.Background(), func(w store.Writer) error {
					return w.Put(store.TableRequests, fmt.Appendf(nil, "%010d", i), value)
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
