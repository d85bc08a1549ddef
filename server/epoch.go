package server

import (
	"context"
	"sync/atomic"

	"github.com/bandfleet/bandfleet/server/store"
)

// epoch is the store's epoch, at hand for every message.
type epoch struct {
	store   store.Store
	current atomic.Uint64
}

func readEpoch(ctx context.Context, st store.Store) (*epoch, error) {
	n, err := store.Epoch(ctx, st)
	if err != nil {
		return nil, err
	}
	e := &epoch{store: st}
	e.current.Store(n)
	return e, nil
}

// Current implements sessions.Epoch.
func (e *epoch) Current() uint64 { return e.current.Load() }

// Raise implements sessions.Epoch.
func (e *epoch) Raise(ctx context.Context, seen uint64) error {
	n, err := store.RaiseEpoch(ctx, e.store, seen)
	if err != nil {
		return err
	}
	for {
		now := e.current.Load()
		if now >= n || e.current.CompareAndSwap(now, n) {
			return nil
		}
	}
}
