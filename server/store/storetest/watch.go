package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/bandfleet/bandfleet/server/store"
)

func watchTellsOfCommits(t *testing.T, s store.Store) {
	events := s.Watch(t.Context(), table)
	err := s.Update(t.Context(), func(w store.Writer) error {
		return errors.Join(w.Put(other, []byte("unwatched"), nil), w.Put(table, []byte("a"), nil), w.Delete(table, []byte("b")))
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Update(t.Context(), func(w store.Writer) error {
		return errors.Join(w.Put(table, []byte("dropped"), nil), errMine)
	})
	put(t, s, "c")
	for _, want := range []string{"a", "b", "c"} {
		if e := <-events; e.Table != table || string(e.Key) != want || e.Resync {
			t.Errorf("event %+v, want key %q", e, want)
		}
	}
}

// A reader that does not keep up must learn that it missed something after the last thing that it missed.
func slowWatcherResyncs(t *testing.T, s store.Store) {
	events := s.Watch(t.Context(), table)
	fast := s.Watch(t.Context(), table)
	const writes = 2000
	for range writes / 100 {
		err := s.Update(t.Context(), func(w store.Writer) (err error) {
			for i := range 100 {
				err = errors.Join(err, w.Put(table, []byte{byte(i)}, nil))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if e := <-fast; e.Resync {
				t.Fatal("a reader that keeps up was told to resync")
			}
		}
	}
	resynced, n := false, len(events)
	for range n {
		resynced = (<-events).Resync
	}
	if n >= writes || !resynced {
		t.Errorf("%d events waited and the last was a resync = %v: want fewer than %d, and a resync at the end", n, resynced, writes)
	}
	put(t, s, "after")
	if e := <-events; string(e.Key) != "after" {
		t.Errorf("event %+v after the resync, want the next write", e)
	}
}

func watchEnds(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	first, second := s.Watch(ctx, table), s.Watch(t.Context(), table)
	cancel()
	if _, open := <-first; open {
		t.Error("an event on a watch that ended")
	}
	put(t, s, "a")
	if e := <-second; string(e.Key) != "a" {
		t.Errorf("event %+v on the other watch", e)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, open := <-second; open {
		t.Error("an event after the store was closed")
	}
	if _, open := <-s.Watch(t.Context(), table); open {
		t.Error("a watch of a closed store gives events")
	}
}
