package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"

	"github.com/bandfleet/bandfleet/proto/boltfile"
)

const (
	// queueSize is how many updates may wait; more wait outside of the queue.
	queueSize = 1024
	// batchSize is how many updates share one commit at most.
	batchSize = 1024
	// MaxWrites is how many keys one update may write.
	MaxWrites = 128
	// maxKey and maxValue are the greatest sizes in bytes.
	maxKey   = 1024
	maxValue = 8 << 20
)

// update is a waiting call of Update.
type update struct {
	ctx    context.Context
	fn     func(Writer) error
	done   chan error
	writes []write
	err    error
}

// write is a buffered Put, or a Delete when record is nil.
type write struct {
	table  Table
	key    []byte
	record []byte
}

// write is the one writer: it takes all updates that wait and commits them together, until the queue is closed.
func (b *Bolt) write() {
	defer close(b.done)
	for first := range b.queue {
		b.commit(b.batch(first))
	}
}

func (b *Bolt) batch(first *update) []*update {
	batch := []*update{first}
	for len(batch) < batchSize {
		select {
		case u, ok := <-b.queue:
			if !ok {
				return batch
			}
			batch = append(batch, u)
		default:
			return batch
		}
	}
	return batch
}

// errNothingWritten rolls a transaction back in which nobody has written anything.
var errNothingWritten = errors.New("nothing was written")

// commit runs the updates and tells each what became of it. When none has written anything the disk is left alone: what is
// refused must not cost more than a look, for strangers can ask for it.
func (b *Bolt) commit(batch []*update) {
	err := guardFault(func() error {
		return b.db.Update(func(tx *bbolt.Tx) error {
			wrote := false
			for _, u := range batch {
				if err := u.apply(tx); err != nil {
					return err
				}
				wrote = wrote || len(u.writes) > 0
			}
			if !wrote {
				return errNothingWritten
			}
			return nil
		})
	})
	switch {
	case errors.Is(err, errNothingWritten):
		err = nil
	case err != nil:
		err = fmt.Errorf("store: %w: %w", ErrUnwritable, err)
	default:
		b.hub.publish(batch)
	}
	for _, u := range batch {
		if u.err == nil {
			u.err = err
		}
		u.done <- u.err
	}
}

// apply runs one update on a buffer and copies the buffer into tx when it succeeded. The error it returns is the engine's
// and fails the whole commit; the update's own is in u.err.
func (u *update) apply(tx *bbolt.Tx) error {
	u.err = u.run(tx)
	if u.err != nil {
		u.writes = nil
	}
	for _, w := range u.writes {
		if err := w.apply(tx); err != nil {
			return err
		}
	}
	return nil
}

// run contains a panic: it must not take the updates of others with it. A fault of the mapped file goes on, for it is the
// engine's.
func (u *update) run(tx *bbolt.Tx) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, fault := r.(interface{ Addr() uintptr }); fault {
				panic(r)
			}
			err = fmt.Errorf("store: panic in an update: %v\n%s", r, debug.Stack())
		}
	}()
	if err := u.ctx.Err(); err != nil {
		return err
	}
	return u.fn(&overlay{tx: tx, update: u})
}

func (w write) apply(tx *bbolt.Tx) error {
	bucket := tx.Bucket([]byte(w.table))
	if w.record == nil {
		return bucket.Delete(w.key)
	}
	return bucket.Put(w.key, w.record)
}

// overlay is the Writer of one update: reads see its own writes first, then the transaction.
type overlay struct {
	tx     *bbolt.Tx
	update *update
}

// Get implements Reader.
func (o *overlay) Get(t Table, key []byte) ([]byte, error) {
	if w := o.find(t, key); w != nil {
		if w.record == nil {
			return nil, ErrNotFound
		}
		return unsealCopy(t, key, w.record)
	}
	return get(o.tx, t, key)
}

// Put implements Writer.
func (o *overlay) Put(t Table, key, value []byte) error {
	if len(value) > maxValue {
		return fmt.Errorf("store: table %q: a value of %d bytes, at most %d are allowed", t, len(value), maxValue)
	}
	return o.buffer(t, key, boltfile.SealFor(key, value))
}

// Delete implements Writer.
func (o *overlay) Delete(t Table, key []byte) error { return o.buffer(t, key, nil) }

func (o *overlay) buffer(t Table, key, record []byte) error {
	if len(key) == 0 || len(key) > maxKey {
		return fmt.Errorf("store: table %q: a key of %d bytes, want 1 to %d", t, len(key), maxKey)
	}
	if _, err := bucketOf(o.tx, t); err != nil {
		return err
	}
	if w := o.find(t, key); w != nil {
		w.record = record
		return nil
	}
	if len(o.update.writes) == MaxWrites {
		return fmt.Errorf("store: an update of more than %d writes", MaxWrites)
	}
	o.update.writes = append(o.update.writes, write{t, bytes.Clone(key), record})
	return nil
}

// find looks through the writes one by one: there are few.
func (o *overlay) find(t Table, key []byte) *write {
	for i := range o.update.writes {
		if w := &o.update.writes[i]; w.table == t && bytes.Equal(w.key, key) {
			return w
		}
	}
	return nil
}

func bucketOf(tx *bbolt.Tx, t Table) (*bbolt.Bucket, error) {
	if bucket := tx.Bucket([]byte(t)); bucket != nil {
		return bucket, nil
	}
	return nil, fmt.Errorf("store: no table %q in the schema", t)
}

func get(tx *bbolt.Tx, t Table, key []byte) ([]byte, error) {
	bucket, err := bucketOf(tx, t)
	if err != nil {
		return nil, err
	}
	record := bucket.Get(key)
	if record == nil {
		return nil, ErrNotFound
	}
	return unsealCopy(t, key, record)
}

func unsealCopy(t Table, key, record []byte) ([]byte, error) {
	value, err := unseal(t, key, record)
	return bytes.Clone(value), err
}

func unseal(t Table, key, record []byte) ([]byte, error) {
	value, err := boltfile.UnsealFor(key, record)
	if errors.Is(err, boltfile.ErrCorrupt) {
		return nil, fmt.Errorf("store: table %q: record %q %w; stop fleetd and restore its data directory from a backup", t, key, ErrCorrupt)
	}
	return value, err
}
