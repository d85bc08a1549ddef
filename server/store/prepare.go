package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/bandfleet/bandfleet/proto/boltfile"
)

// prepare makes the tables of a new file, and refuses a file of another schema version before anything in it is changed.
func prepare(db *bbolt.DB, path string) error {
	fresh := false
	err := db.View(func(tx *bbolt.Tx) error {
		if tx.Bucket([]byte(TableMeta)) == nil {
			name, _ := tx.Cursor().First()
			if fresh = name == nil; !fresh {
				return fmt.Errorf("store %q: is not a store of fleetd; name another data directory", path)
			}
			return nil
		}
		return checkVersion(tx, path)
	})
	if err != nil || !fresh {
		return err
	}
	if db.IsReadOnly() {
		return fmt.Errorf("store %q: holds nothing; name the store of a server, or a backup of one", path)
	}
	return db.Update(createTables)
}

func checkVersion(tx *bbolt.Tx, path string) error {
	value, err := get(tx, TableMeta, Key(keyVersion))
	if err != nil {
		return fmt.Errorf("store %q: schema version: %w", path, err)
	}
	switch v := ParseNumber(value); {
	case v > 0 && v < SchemaVersion:
		return &OldSchemaError{Path: path, Version: v}
	case v != SchemaVersion:
		return fmt.Errorf("store %q: has schema version %d and this fleetd reads version %d; start the fleetd that wrote it, or restore a backup of version %d",
			path, v, SchemaVersion, SchemaVersion)
	}
	for _, t := range Tables() {
		if _, err := bucketOf(tx, t); err != nil {
			return fmt.Errorf("store %q: %w; restore a backup", path, err)
		}
	}
	return nil
}

func createTables(tx *bbolt.Tx) error {
	for _, t := range Tables() {
		if _, err := tx.CreateBucket([]byte(t)); err != nil {
			return err
		}
	}
	meta := tx.Bucket([]byte(TableMeta))
	// The clock makes a fleet that is set up anew later than the one before it.
	epoch := Number(uint64(time.Now().Unix()))
	return errors.Join(
		meta.Put(Key(keyVersion), boltfile.SealFor(Key(keyVersion), Number(SchemaVersion))),
		meta.Put(Key(keyEpoch), boltfile.SealFor(Key(keyEpoch), epoch)))
}

// Epoch returns the epoch of the store: agents refuse tasks of an earlier one than they have seen.
func Epoch(ctx context.Context, s Store) (epoch uint64, err error) {
	err = s.View(ctx, func(v Snapshot) error {
		value, err := v.Get(TableMeta, Key(keyEpoch))
		epoch = ParseNumber(value)
		return err
	})
	return epoch, err
}

// RaiseEpoch makes the epoch greater than seen and returns it. It is called when an agent has seen a later epoch than the
// store's: the store was restored from a backup.
func RaiseEpoch(ctx context.Context, s Store, seen uint64) (epoch uint64, err error) {
	err = s.Update(ctx, func(w Writer) error {
		value, err := w.Get(TableMeta, Key(keyEpoch))
		if err != nil {
			return err
		}
		if epoch = ParseNumber(value); epoch > seen {
			return nil
		}
		epoch = seen + 1
		return w.Put(TableMeta, Key(keyEpoch), Number(epoch))
	})
	return epoch, err
}

// MarkRestored notes that the store comes from a backup. Its epoch becomes later than that of the server that went on after the
// backup was taken: as at the making of a store, the clock sees to that.
func MarkRestored(ctx context.Context, s Store, now time.Time) (epoch uint64, err error) {
	before, err := Epoch(ctx, s)
	if err != nil {
		return 0, err
	}
	if epoch, err = RaiseEpoch(ctx, s, max(before, uint64(now.Unix()))); err != nil {
		return 0, err
	}
	return epoch, s.Update(ctx, func(w Writer) error {
		return w.Put(TableMeta, Key(KeyRestored), Number(uint64(now.UnixMilli())))
	})
}
