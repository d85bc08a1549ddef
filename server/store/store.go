// Package store is the spine of the server: an ordered, transactional key-value store with checked records. The API writes
// what is wanted into it and the controllers act on what they read. The interface asks only for what etcd can do as well as
// bbolt: an update reads and writes single keys, scans happen in views. Only this package knows the engine.
package store

import (
	"context"
	"errors"
)

// Errors that callers tell apart.
var (
	// ErrNotFound: no such key.
	ErrNotFound = errors.New("not found")
	// ErrClosed: the store is closed or closing.
	ErrClosed = errors.New("store is closed")
	// ErrUnwritable: the disk did not take what was written, for it is full or read-only; nothing was kept.
	ErrUnwritable = errors.New("cannot be written")
	// ErrCorrupt: a record or a page does not carry its own checksum.
	ErrCorrupt = errors.New("is corrupt")
)

// Table is a named, ordered key space. Every table is drawn in schema.go.
type Table string

// Reader reads single keys. Values are copies and may be kept.
type Reader interface {
	// Get returns ErrNotFound when there is no such key, and ErrCorrupt when its record is damaged.
	Get(t Table, key []byte) ([]byte, error)
}

// Snapshot is a consistent view of everything. It holds resources: keep it short.
type Snapshot interface {
	Reader
	// Scan calls fn for each key of t that begins with prefix and is not less than from (nil: the first), in byte order,
	// until fn returns false. key and value are valid during the call only.
	Scan(t Table, prefix, from []byte, fn func(key, value []byte) (more bool)) error
	// ScanBack is Scan from the greatest key downwards; from (nil: the last) is the first key considered.
	ScanBack(t Table, prefix, from []byte, fn func(key, value []byte) (more bool)) error
}

// Writer is one atomic update. It sees its own writes.
type Writer interface {
	Reader
	Put(t Table, key, value []byte) error
	// Delete is no error when there is no such key.
	Delete(t Table, key []byte) error
}

// Any reports whether a table holds anything.
func Any(ctx context.Context, s Store, t Table) (some bool, err error) {
	err = s.View(ctx, func(v Snapshot) error {
		return v.Scan(t, nil, nil, func(_, _ []byte) bool { some = true; return false })
	})
	return some, err
}

// Event says that a key was written or deleted. It is a hint, not a log.
type Event struct {
	Table Table
	Key   []byte
	// Resync is set, and the rest empty, when events were lost: read everything again.
	Resync bool
}

// Store is the engine. Safe for concurrent use.
type Store interface {
	// View runs fn on what is committed now. fn must not wait for an Update: a growing file waits for all views to end.
	View(ctx context.Context, fn func(Snapshot) error) error
	// Update runs fn and returns when what it wrote is on disk. Many updates may share one commit (group commit); when fn
	// returns an error nothing that it wrote is kept and the other updates are not disturbed. fn may run more than once
	// and must have no other effect. An update holds about 100 writes at most; more is an error.
	Update(ctx context.Context, fn func(Writer) error) error
	// Watch returns events of the tables until ctx ends. A slow reader gets Resync.
	Watch(ctx context.Context, tables ...Table) <-chan Event
	Close() error
}
