package journal

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// retention says how long an acknowledged result is kept to answer a repeated delivery. A task without an acknowledged
// result is never forgotten.
type retention struct {
	// age is longer than the oldest backup from which a server may be restored, and so longer than any task can come again.
	age time.Duration
	// count bounds the file on a machine that is sent very many tasks; above it the oldest go before their age. A forgotten
	// task that is delivered again has expired by then, and is answered so instead of being run.
	count int
	// sweep is the most that one acknowledgement forgets, so that none takes long.
	sweep int
}

var defaultRetention = retention{age: 90 * 24 * time.Hour, count: 20_000, sweep: 32}

// retire moves an acknowledged task from the open ones to those that may be forgotten in time, and forgets some of these.
func (j *Journal) retire(tx tables, key []byte, at time.Time) error {
	if err := tx.Bucket(bucketOpen).Delete(key); err != nil {
		return err
	}
	if err := seal(tx.Bucket(bucketRetired), retiredKey(at.UnixNano(), key), nil); err != nil {
		return err
	}
	return j.forget(tx, at)
}

// forget removes the acknowledged tasks that are too old or too many, the oldest first.
func (j *Journal) forget(tx tables, now time.Time) error {
	retired := tx.Bucket(bucketRetired)
	limit := uint64(max(0, now.Add(-j.keep.age).UnixNano()))
	surplus := retired.Stats().KeyN - j.keep.count
	var gone [][]byte
	c := retired.Cursor()
	for at, _ := c.First(); at != nil && len(gone) < j.keep.sweep; at, _ = c.Next() {
		if surplus <= len(gone) && binary.BigEndian.Uint64(at) >= limit {
			break
		}
		gone = append(gone, bytes.Clone(at))
	}
	for _, at := range gone {
		if err := tx.Bucket(bucketTasks).Delete(at[8:]); err != nil {
			return err
		}
		if err := retired.Delete(at); err != nil {
			return err
		}
	}
	return nil
}

// sortByAcceptance puts the task that was accepted first at the head.
func sortByAcceptance(recs []*storagev1.JournalTask) {
	slices.SortStableFunc(recs, func(a, b *storagev1.JournalTask) int {
		return cmp.Or(
			a.GetAccepted().AsTime().Compare(b.GetAccepted().AsTime()),
			cmp.Compare(a.GetTask().GetKey().GetJobId(), b.GetTask().GetKey().GetJobId()),
			cmp.Compare(a.GetTask().GetKey().GetAttempt(), b.GetTask().GetKey().GetAttempt()),
		)
	})
}
