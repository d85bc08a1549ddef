package store

import (
	"bytes"

	"go.etcd.io/bbolt"
)

// snapshot is a view of one transaction.
type snapshot struct{ tx *bbolt.Tx }

// Get implements Reader.
func (s snapshot) Get(t Table, key []byte) ([]byte, error) { return get(s.tx, t, key) }

// Scan implements Snapshot.
func (s snapshot) Scan(t Table, prefix, from []byte, fn func(key, value []byte) bool) error {
	bucket, err := bucketOf(s.tx, t)
	if err != nil {
		return err
	}
	start := prefix
	if bytes.Compare(from, prefix) > 0 {
		start = from
	}
	c := bucket.Cursor()
	for k, record := c.Seek(start); k != nil && bytes.HasPrefix(k, prefix); k, record = c.Next() {
		value, err := unseal(t, k, record)
		if err != nil {
			return err
		}
		if !fn(k, value) {
			return nil
		}
	}
	return nil
}

// ScanBack implements Snapshot.
func (s snapshot) ScanBack(t Table, prefix, from []byte, fn func(key, value []byte) bool) error {
	bucket, err := bucketOf(s.tx, t)
	if err != nil {
		return err
	}
	c := bucket.Cursor()
	for k, record := seekBack(c, prefix, from); k != nil && bytes.HasPrefix(k, prefix); k, record = c.Prev() {
		value, err := unseal(t, k, record)
		if err != nil {
			return err
		}
		if !fn(k, value) {
			return nil
		}
	}
	return nil
}

// seekBack goes to the greatest key that may have the prefix and is not greater than from.
func seekBack(c *bbolt.Cursor, prefix, from []byte) (key, record []byte) {
	end := after(prefix)
	if from == nil || (end != nil && bytes.Compare(from, end) >= 0) {
		from = end
	}
	if from == nil {
		return c.Last()
	}
	key, record = c.Seek(from)
	switch {
	case key == nil:
		return c.Last()
	case bytes.Equal(key, from) && !bytes.Equal(from, end):
		return key, record
	default:
		return c.Prev()
	}
}

// after returns the least key that is greater than all keys with the prefix; nil when there is none.
func after(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
