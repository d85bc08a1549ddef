package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"go.etcd.io/bbolt"

	"github.com/bandfleet/bandfleet/proto/boltfile"
)

// Migration takes a store from one schema version to the next. It is never changed once a release has it.
type Migration struct {
	// From is the version that it begins with.
	From uint64
	// Add are the tables that the next version has and this one has not.
	Add []Table
	// Rewrite makes, for the tables that it names, the next version's value out of each record. It must depend on nothing else.
	Rewrite map[Table]func(key, value []byte) ([]byte, error)
}

// OldSchemaError says that a store was written by an earlier release.
type OldSchemaError struct {
	Path    string
	Version uint64
}

// Error implements error.
func (e *OldSchemaError) Error() string {
	return fmt.Sprintf("store %q: has schema version %d and this fleetd reads version %d; start `fleetd serve` once, which migrates it",
		e.Path, e.Version, SchemaVersion)
}

// MigrateInto makes, at out, a copy of the store at path and takes it through the migrations to SchemaVersion. The store itself is
// not touched, and no other process can open it until held is closed. What is left at out after an error is of no use.
func MigrateInto(path, out string, migrations []Migration) (held io.Closer, err error) {
	db, err := boltfile.Open(path, boltfile.Options{Sealed: true, Advice: advice})
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	err = guardFault(func() error {
		if err := copyInto(db, out); err != nil {
			return err
		}
		return migrate(out, migrations)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store %q: migration: %w", path, err), db.Close())
	}
	return db, nil
}

func copyInto(db *bbolt.DB, out string) error {
	file, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(file)
		return err
	})
	return errors.Join(err, file.Sync(), file.Close())
}

// migrate takes the file through the migrations. Each is one transaction: what it rewrites must fit into memory.
func migrate(path string, migrations []Migration) error {
	db, err := boltfile.Open(path, boltfile.Options{})
	if err != nil {
		return err
	}
	for _, m := range migrations {
		if err = db.Update(m.apply); err != nil {
			break
		}
	}
	if err == nil {
		err = db.View(func(tx *bbolt.Tx) error { return checkVersion(tx, path) })
	}
	return errors.Join(err, db.Close())
}

// apply does nothing to a store that is past this version already.
func (m Migration) apply(tx *bbolt.Tx) error {
	value, err := get(tx, TableMeta, Key(keyVersion))
	if err != nil {
		return err
	}
	if ParseNumber(value) != m.From {
		return nil
	}
	for _, t := range m.Add {
		if _, err := tx.CreateBucket([]byte(t)); err != nil {
			return fmt.Errorf("table %q: %w", t, err)
		}
	}
	for t, rewrite := range m.Rewrite {
		if err := rewriteTable(tx, t, rewrite); err != nil {
			return fmt.Errorf("from version %d: table %q: %w", m.From, t, err)
		}
	}
	key := Key(keyVersion)
	return tx.Bucket([]byte(TableMeta)).Put(key, boltfile.SealFor(key, Number(m.From+1)))
}

// rewriteTable gathers before it writes: a bucket must not be changed while it is walked.
func rewriteTable(tx *bbolt.Tx, t Table, rewrite func(key, value []byte) ([]byte, error)) error {
	bucket, err := bucketOf(tx, t)
	if err != nil {
		return err
	}
	var writes []write
	err = bucket.ForEach(func(key, record []byte) error {
		value, err := unseal(t, key, record)
		if err != nil {
			return err
		}
		next, err := rewrite(key, value)
		if err != nil {
			return fmt.Errorf("record %q: %w", key, err)
		}
		writes = append(writes, write{t, bytes.Clone(key), boltfile.SealFor(key, next)})
		return nil
	})
	for _, w := range writes {
		if err == nil {
			err = bucket.Put(w.key, w.record)
		}
	}
	return err
}
