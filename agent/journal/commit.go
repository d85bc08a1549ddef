package journal

import (
	"go.etcd.io/bbolt"
)

// write is one caller's part of a commit. It may be applied more than once, so it must not depend on having run before.
type write struct {
	apply func(*bbolt.Tx) error
	err   error
	done  chan struct{}
}

// committer lets writes that wait for the disk at the same time share one commit: whoever gets the turn commits all that
// waits. A lone write never waits for company.
type committer struct {
	db *bbolt.DB
	// turn holds one token; its holder commits.
	turn chan struct{}
	// waiting holds the writes to come; it is sent to without blocking while holding no turn.
	waiting chan *write
}

// maxShared is the most writes in one commit.
const maxShared = 256

func newCommitter(db *bbolt.DB) *committer {
	return &committer{db: db, turn: make(chan struct{}, 1), waiting: make(chan *write, maxShared)}
}

// do applies fn in a transaction and returns when it is on disk, or fn's error with nothing of it written.
func (c *committer) do(fn func(*bbolt.Tx) error) error {
	w := &write{apply: fn, done: make(chan struct{})}
	c.waiting <- w
	for {
		select {
		case <-w.done:
			return w.err
		case c.turn <- struct{}{}:
			c.commit(c.take())
			<-c.turn
		}
	}
}

// take returns all writes that wait now.
func (c *committer) take() []*write {
	var batch []*write
	for len(batch) < maxShared {
		select {
		case w := <-c.waiting:
			batch = append(batch, w)
		default:
			return batch
		}
	}
	return batch
}

// commit writes a batch in one transaction. When a part of it fails, each part gets a transaction of its own, so that none
// fails for another's fault.
func (c *committer) commit(batch []*write) {
	if len(batch) == 0 {
		return
	}
	if err := c.db.Update(applyAll(batch)); err == nil || len(batch) == 1 {
		deliver(batch, err)
		return
	}
	for _, w := range batch {
		deliver([]*write{w}, c.db.Update(w.apply))
	}
}

func applyAll(batch []*write) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		for _, w := range batch {
			if err := w.apply(tx); err != nil {
				return err
			}
		}
		return nil
	}
}

func deliver(batch []*write, err error) {
	for _, w := range batch {
		w.err = err
		close(w.done)
	}
}
