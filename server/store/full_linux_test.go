package store_test

import (
	"errors"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/bandfleet/bandfleet/server/store"
)

// A disk that takes no more refuses the update, keeps what was there, and goes on when there is room again.
func TestAFullDiskLosesNothingThatWasKept(t *testing.T) {
	st := open(t, filepath.Join(t.TempDir(), "store.db"))
	defer st.Close()
	write := func(name string, size int) error {
		return st.Update(t.Context(), func(w store.Writer) error { return w.Put(store.TableSites, store.Key(name), make([]byte, size)) })
	}
	if err := write("before", 1); err != nil {
		t.Fatal(err)
	}
	// Without this the signal that comes with the limit would end the process; a full disk sends none.
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	full := limit
	full.Cur = 1 << 20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	refused := write("large", 4<<20)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(refused, store.ErrUnwritable) {
		t.Errorf("error %v, want ErrUnwritable", refused)
	}
	if err := write("after", 1); err != nil {
		t.Errorf("with room again: %v", err)
	}
	for name, want := range map[string]error{"before": nil, "large": store.ErrNotFound, "after": nil} {
		err := st.View(t.Context(), func(s store.Snapshot) error { _, err := s.Get(store.TableSites, store.Key(name)); return err })
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
	}
}
