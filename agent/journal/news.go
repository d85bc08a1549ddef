package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// Beside is what is journalled in the same write as a piece of news, so that no crash can come between the two. What is nil is nothing.
type Beside struct {
	// Opened is a fault that was opened, Gone one that is gone.
	Opened, Gone *agentv1.FaultReport
	// Breaker is how a breaker stands now.
	Breaker *storagev1.JournalBreaker
	// Settled is a finished task of the agent's own whose result the news holds: nothing else waits for it any more. It counts as acknowledged
	// At that time.
	Settled *agentv1.TaskKey
	At      time.Time
}

// noNews is what a journal says of news that has had none.
func noNews(meta *bbolt.Bucket) error {
	none := binary.BigEndian.AppendUint64(nil, 0)
	return errors.Join(seal(meta, keyNews, none), seal(meta, keySent, none))
}

// LastNews returns the sequence of the latest news that was ever journalled, and the greatest one that may have been sent.
func (j *Journal) LastNews() (last, sent uint64, err error) {
	err = j.view(func(tx tables) (err error) {
		if last, err = j.number(tx, keyNews); err != nil {
			return err
		}
		sent, err = j.number(tx, keySent)
		return err
	})
	return last, sent, err
}

// PutNews journals news under its sequence, or replaces what is there. Nil news is none: then only what is beside it is written.
func (j *Journal) PutNews(n *agentv1.News, b Beside) error {
	return j.write(func(tx tables) error {
		if err := j.putNews(tx, n); err != nil {
			return err
		}
		return j.putBeside(tx, b)
	})
}

func (j *Journal) putNews(tx tables, n *agentv1.News) error {
	if n == nil {
		return nil
	}
	last, err := j.number(tx, keyNews)
	if err != nil {
		return err
	}
	if n.GetSequence() == 0 || n.GetSequence() > last+1 {
		return fmt.Errorf("news %d: the latest are %d", n.GetSequence(), last)
	}
	at := binary.BigEndian.AppendUint64(nil, n.GetSequence())
	if n.GetSequence() > last {
		if err := seal(tx.Bucket(bucketMeta), keyNews, at); err != nil {
			return err
		}
	}
	return put(tx.Bucket(bucketNews), at, n)
}

func (j *Journal) putBeside(tx tables, b Beside) error {
	if f := b.Opened; f != nil {
		if err := put(tx.Bucket(bucketFaults), textKey(f.GetEntry(), f.GetSubject()), f); err != nil {
			return err
		}
	}
	if f := b.Gone; f != nil {
		if err := tx.Bucket(bucketFaults).Delete(textKey(f.GetEntry(), f.GetSubject())); err != nil {
			return err
		}
	}
	if k := b.Breaker; k != nil {
		if err := put(tx.Bucket(bucketBreakers), textKey(k.GetEntry(), k.GetSubject(), k.GetAction()), k); err != nil {
			return err
		}
	}
	if b.Settled == nil {
		return nil
	}
	return j.acknowledge(tx, b.Settled, b.At)
}

// SendNews notes that news up to a sequence may have been sent from now on.
func (j *Journal) SendNews(upTo uint64) error {
	return j.write(func(tx tables) error {
		sent, err := j.number(tx, keySent)
		if err != nil || upTo <= sent {
			return err
		}
		return seal(tx.Bucket(bucketMeta), keySent, binary.BigEndian.AppendUint64(nil, upTo))
	})
}

// DropNews forgets news up to a sequence and returns how much that was.
func (j *Journal) DropNews(upTo uint64) (dropped int, err error) {
	err = j.write(func(tx tables) error {
		dropped = 0
		b := tx.Bucket(bucketNews)
		c := b.Cursor()
		for key, _ := c.First(); key != nil && binary.BigEndian.Uint64(key) <= upTo; key, _ = c.First() {
			if err := b.Delete(key); err != nil {
				return err
			}
			dropped++
		}
		return nil
	})
	return dropped, err
}

// News calls fn for each piece of news after a sequence, in order, until it returns false.
func (j *Journal) News(after uint64, fn func(*agentv1.News) (more bool)) error {
	return j.view(func(tx tables) error {
		b := tx.Bucket(bucketNews)
		c := b.Cursor()
		for key, _ := c.Seek(binary.BigEndian.AppendUint64(nil, after+1)); key != nil; key, _ = c.Next() {
			n := &agentv1.News{}
			if err := j.read(b, key, fmt.Sprintf("news %d", binary.BigEndian.Uint64(key)), n); err != nil {
				return err
			}
			if !fn(n) {
				return nil
			}
		}
		return nil
	})
}

// OpenFaults returns what was opened and is not gone.
func (j *Journal) OpenFaults() ([]*agentv1.FaultReport, error) {
	return all[agentv1.FaultReport](j, bucketFaults)
}

// Breakers returns what is known of attempts.
func (j *Journal) Breakers() ([]*storagev1.JournalBreaker, error) {
	return all[storagev1.JournalBreaker](j, bucketBreakers)
}

// all reads the records of a bucket, in the order of their keys.
func all[T any, P interface {
	*T
	proto.Message
}](j *Journal, bucket []byte) (records []*T, err error) {
	err = j.view(func(tx tables) error {
		b := tx.Bucket(bucket)
		return b.ForEach(func(key, _ []byte) error {
			var rec P = new(T)
			records = append(records, rec)
			return j.read(b, key, fmt.Sprintf("%s/%q", bucket, key), rec)
		})
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

// DropBreaker forgets attempts that do not count any more. One that is not there is no error.
func (j *Journal) DropBreaker(entry, subject, action string) error {
	return j.write(func(tx tables) error {
		return tx.Bucket(bucketBreakers).Delete(textKey(entry, subject, action))
	})
}

// Orders returns what the agent is to go by, nil before the first.
func (j *Journal) Orders() (orders *agentv1.Orders, err error) {
	err = j.view(func(tx tables) error {
		meta := tx.Bucket(bucketMeta)
		if meta.Get(keyOrders) == nil {
			return nil
		}
		orders = &agentv1.Orders{}
		return j.read(meta, keyOrders, "orders", orders)
	})
	if err != nil {
		return nil, err
	}
	return orders, nil
}

// PutOrders journals what the agent is to go by from now on.
func (j *Journal) PutOrders(orders *agentv1.Orders) error {
	return j.write(func(tx tables) error { return put(tx.Bucket(bucketMeta), keyOrders, orders) })
}
