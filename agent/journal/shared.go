package journal

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/bandfleet/bandfleet/proto/boltfile"
)

// tables is where a journal's buckets are: the file itself, or one agent's part of a shared file.
type tables interface {
	Bucket(name []byte) *bbolt.Bucket
	CreateBucket(name []byte) (*bbolt.Bucket, error)
}

// tables returns the journal's own part of its file.
func (j *Journal) tables(tx *bbolt.Tx) tables {
	if j.part == nil {
		return tx
	}
	return tx.Bucket(j.part)
}

// write applies fn in a transaction that others may share and returns when it is on disk, or fn's error with nothing of it
// written. fn may run more than once. The journal's sequence grows with it.
func (j *Journal) write(fn func(tables) error) error {
	var sequence uint64
	err := j.rewrite(func(tx tables) (err error) {
		if err := fn(tx); err != nil {
			return err
		}
		sequence, err = j.count(tx)
		return err
	})
	if err == nil {
		j.written(sequence)
	}
	return err
}

// rewrite is write without counting: for a file of a version that does not count yet.
func (j *Journal) rewrite(fn func(tables) error) error {
	return j.commits.do(func(tx *bbolt.Tx) error { return fn(j.tables(tx)) })
}

func (j *Journal) view(fn func(tables) error) error {
	return j.db.View(func(tx *bbolt.Tx) error { return fn(j.tables(tx)) })
}

// Shared is one file with the journals of many agents of one process, whose writes share commits. It is for simulated fleets:
// a file for each of ten thousand agents would exceed what a process may have open. Safe for concurrent use.
type Shared struct {
	db      *bbolt.DB
	path    string
	commits *committer
}

// OpenShared opens the shared file at path, or makes one. Damage is refused as by Open.
func OpenShared(path string) (*Shared, error) {
	db, err := boltfile.Open(path, boltfile.Options{Sealed: true, Advice: advice})
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return &Shared{db: db, path: path, commits: newCommitter(db)}, nil
}

// Journal returns the journal of one agent, made if need be. It must not be closed, and serves one agent at a time.
func (s *Shared) Journal(agent string) (*Journal, error) {
	if agent == "" {
		return nil, errors.New("journal: an agent without a name")
	}
	j := &Journal{db: s.db, path: s.path, part: []byte(agent), commits: s.commits, keep: defaultRetention}
	err := s.commits.do(func(tx *bbolt.Tx) error {
		if tx.Bucket(j.part) != nil {
			return nil
		}
		part, err := tx.CreateBucket(j.part)
		if err != nil {
			return err
		}
		return fill(part)
	})
	if err != nil {
		return nil, fmt.Errorf("journal of %q: %w", agent, err)
	}
	return j, j.ready()
}

// Close closes the file. No call of any of its journals may follow or be under way.
func (s *Shared) Close() error { return s.db.Close() }
