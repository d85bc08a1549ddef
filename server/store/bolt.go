package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/bandfleet/bandfleet/proto/boltfile"
)

// Bolt is the store in one bbolt file.
type Bolt struct {
	db    *bbolt.DB
	queue chan *update
	hub   hub

	// closing is closed first, so that nobody waits for a place in the queue; then closed is set, then the queue is closed,
	// and done is closed when all that was in it is written.
	once    sync.Once
	closing chan struct{}
	mu      sync.RWMutex
	closed  bool
	done    chan struct{}
}

// Open opens the store in the file at path, or makes it. A file that is damaged or of another schema version is refused and
// not touched; one of an earlier version with *OldSchemaError.
func Open(path string) (*Bolt, error) {
	return prepared(path, boltfile.Open)
}

// OpenReadOnly opens the store in the file at path for reading; updates of it fail. While it is open no server can have it.
func OpenReadOnly(path string) (*Bolt, error) { return prepared(path, boltfile.OpenReadOnly) }

// advice is what a person does about a damaged store.
const advice = "restore a backup with `fleetd restore`; without one, move the whole data directory away and set the fleet up anew"

func prepared(path string, open func(string, boltfile.Options) (*bbolt.DB, error)) (*Bolt, error) {
	db, err := open(path, boltfile.Options{Sealed: true, Advice: advice})
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := prepare(db, path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	b := &Bolt{db: db, queue: make(chan *update, queueSize), closing: make(chan struct{}), done: make(chan struct{})}
	go b.write()
	return b, nil
}

// View implements Store.
func (b *Bolt) View(ctx context.Context, fn func(Snapshot) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return guardFault(func() error {
		err := b.db.View(func(tx *bbolt.Tx) error { return fn(snapshot{tx}) })
		if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
			return ErrClosed
		}
		return err
	})
}

// Update implements Store. When ctx ends before fn was begun nothing is done; after that the outcome is waited for, so that
// an error always means that nothing was kept.
func (b *Bolt) Update(ctx context.Context, fn func(Writer) error) error {
	u := &update{ctx: ctx, fn: fn, done: make(chan error, 1)}
	if err := b.enqueue(u); err != nil {
		return err
	}
	return <-u.done
}

// enqueue holds the lock for reading while it sends, so that Close can wait until nobody is about to send.
func (b *Bolt) enqueue(u *update) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return ErrClosed
	}
	select {
	case b.queue <- u:
		return nil
	case <-u.ctx.Done():
		return u.ctx.Err()
	case <-b.closing:
		return ErrClosed
	}
}

// Watch implements Store.
func (b *Bolt) Watch(ctx context.Context, tables ...Table) <-chan Event {
	return b.hub.subscribe(ctx, tables)
}

// Close writes what is queued, refuses the rest, ends all watches, and closes the file. Views that run are waited for.
func (b *Bolt) Close() error {
	b.once.Do(b.stop)
	<-b.done
	b.hub.close()
	return b.db.Close()
}

func (b *Bolt) stop() {
	close(b.closing)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	close(b.queue)
}

// guardFault turns a fault of the mapped file (a page that the disk cannot read, a file that was cut off meanwhile) into
// ErrCorrupt. Other panics go on.
func guardFault(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			if _, fault := r.(interface{ Addr() uintptr }); !fault {
				panic(r)
			}
			err = fmt.Errorf("store: %v: %w", r, ErrCorrupt)
		}
	}()
	return fn()
}
