package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bandfleet/bandfleet/server/store"
)

var errMine = errors.New("my own error")

func failedUpdateIsUndone(t *testing.T, s store.Store) {
	put(t, s, "kept")
	err := s.Update(t.Context(), func(w store.Writer) error {
		if err := errors.Join(w.Put(table, []byte("half"), []byte("1")), w.Delete(table, []byte("kept"))); err != nil {
			return err
		}
		return fmt.Errorf("wrapped: %w", errMine)
	})
	if !errors.Is(err, errMine) {
		t.Errorf("error %v, want the function's own", err)
	}
	if read(t, s, "half") != "" || read(t, s, "kept") == "" {
		t.Error("a failed update left something behind")
	}
}

func panicIsContained(t *testing.T, s store.Store) {
	err := s.Update(t.Context(), func(w store.Writer) error {
		if err := w.Put(table, []byte("half"), nil); err != nil {
			return err
		}
		panic("oh no")
	})
	if err == nil || !strings.Contains(err.Error(), "oh no") {
		t.Errorf("error %v, want the panic's words", err)
	}
	put(t, s, "next")
	if read(t, s, "next") == "" || read(t, s, "half") != "" {
		t.Error("after a panic the store must go on without what was half done")
	}
}

func failuresDoNotSpread(t *testing.T, s store.Store) {
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			err := s.Update(t.Context(), func(w store.Writer) error {
				if err := w.Put(table, fmt.Appendf(nil, "k%03d", i), []byte("1")); err != nil {
					return err
				}
				switch i % 10 {
				case 3:
					return errMine
				case 7:
					panic("one of many")
				}
				return nil
			})
			if failed := i%10 == 3 || i%10 == 7; (err != nil) != failed {
				t.Errorf("update %d: error %v", i, err)
			}
		})
	}
	all.Wait()
	for i := range 200 {
		if there := read(t, s, fmt.Sprintf("k%03d", i)) != ""; there != (i%10 != 3 && i%10 != 7) {
			t.Errorf("update %d: kept = %v", i, there)
		}
	}
}

func updatesAreSerial(t *testing.T, s store.Store) {
	const n = 300
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			err := s.Update(t.Context(), func(w store.Writer) error {
				old, err := w.Get(table, []byte("counter"))
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
				return w.Put(table, []byte("counter"), store.Number(store.ParseNumber(old)+1))
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := store.ParseNumber([]byte(read(t, s, "counter"))); got != n {
		t.Errorf("%d increments gave %d: updates must not lose each other's writes", n, got)
	}
}

func tooManyWrites(t *testing.T, s store.Store) {
	fill := func(n int) error {
		return s.Update(t.Context(), func(w store.Writer) error {
			for i := range n {
				// Writing a key again is no further write.
				for range 2 {
					if err := w.Put(table, fmt.Appendf(nil, "k%03d", i), nil); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	if err := fill(store.MaxWrites + 1); err == nil {
		t.Error("an update of too many writes was accepted: etcd would refuse it")
	}
	if len(scanKeys(t, s)) != 0 {
		t.Error("the refused update left something behind")
	}
	if err := fill(store.MaxWrites); err != nil {
		t.Errorf("the most writes that are allowed: %v", err)
	}
}

func scanKeys(t *testing.T, s store.Store) (keys []string) {
	err := s.View(t.Context(), func(v store.Snapshot) error {
		return v.Scan(table, nil, nil, func(k, _ []byte) bool { keys = append(keys, string(k)); return true })
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func badKeysAndTables(t *testing.T, s store.Store) {
	for name, fn := range map[string]func(w store.Writer) error{
		"empty key":     func(w store.Writer) error { return w.Put(table, nil, nil) },
		"long key":      func(w store.Writer) error { return w.Put(table, make([]byte, 2000), nil) },
		"large value":   func(w store.Writer) error { return w.Put(table, []byte("k"), make([]byte, 9<<20)) },
		"unknown table": func(w store.Writer) error { return w.Put("nowhere", []byte("k"), nil) },
		"unknown get":   func(w store.Writer) error { _, err := w.Get("nowhere", []byte("k")); return err },
	} {
		if err := s.Update(t.Context(), fn); err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: error %v, want a refusal", name, err)
		}
	}
	err := s.View(t.Context(), func(v store.Snapshot) error {
		return v.Scan("nowhere", nil, nil, func(_, _ []byte) bool { return true })
	})
	if err == nil {
		t.Error("a scan of an unknown table was accepted")
	}
}

func endedContext(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ran := false
	err := s.Update(ctx, func(store.Writer) error { ran = true; return nil })
	if !errors.Is(err, context.Canceled) || ran {
		t.Errorf("update: error %v, ran = %v", err, ran)
	}
	err = s.View(ctx, func(store.Snapshot) error { ran = true; return nil })
	if !errors.Is(err, context.Canceled) || ran {
		t.Errorf("view: error %v, ran = %v", err, ran)
	}
}

func closeWritesWhatIsQueued(t *testing.T, s store.Store) {
	var all sync.WaitGroup
	var written, refused atomic.Int64
	begun := make(chan struct{})
	var once sync.Once
	for i := range 200 {
		all.Go(func() {
			err := s.Update(t.Context(), func(w store.Writer) error {
				once.Do(func() { close(begun) })
				return w.Put(table, fmt.Appendf(nil, "k%03d", i), nil)
			})
			switch {
			case err == nil:
				written.Add(1)
			case errors.Is(err, store.ErrClosed):
				refused.Add(1)
			default:
				t.Errorf("update while closing: %v", err)
			}
		})
	}
	<-begun
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	all.Wait()
	if written.Load() == 0 || written.Load()+refused.Load() != 200 {
		t.Errorf("%d written, %d refused, want every one accounted for", written.Load(), refused.Load())
	}
	if err := s.Update(context.Background(), func(store.Writer) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("update after close: %v, want ErrClosed", err)
	}
	if err := s.View(context.Background(), func(store.Snapshot) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("view after close: %v, want ErrClosed", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("a second close: %v", err)
	}
}
