package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/oklog/ulid/v2"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/proto/boltfile"
)

// advice is what a person does about a damaged journal. Deleting it makes the agent forget what it has run, so the file is
// moved, not deleted: it may still tell what had been done.
const advice = "move it away and start the agent again; the server then reports the tasks that this machine had open as UNKNOWN"

// ErrUnknownTask says that the journal has no such task.
var ErrUnknownTask = errors.New("is not in the journal")

// Journal is an open journal. It is safe for concurrent use; concurrent writes share a commit.
type Journal struct {
	db   *bbolt.DB
	path string
	// part names this journal's bucket in a shared file; nil when the file is its own.
	part    []byte
	id      string
	commits *committer
	// told is the sequence of the latest write that is on disk.
	told atomic.Uint64
	keep retention
}

// Open opens the journal at path, or makes one. A file that is damaged, of another version or in use is refused and left as
// it is.
func Open(path string) (*Journal, error) {
	db, err := boltfile.Open(path, boltfile.Options{
		Sealed: true, Fill: func(tx *bbolt.Tx) error { return fill(tx) }, Advice: advice,
	})
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{db: db, path: path, commits: newCommitter(db), keep: defaultRetention}
	if err := j.ready(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return j, nil
}

// ready brings an earlier journal to this version and checks it.
func (j *Journal) ready() error {
	if err := j.upgrade(); err != nil {
		return err
	}
	return j.view(j.check)
}

// Close closes the file. No other call may follow or be under way.
func (j *Journal) Close() error { return j.db.Close() }

// ID returns the journal's identity. The server sees by it that an agent has lost its memory.
func (j *Journal) ID() string { return j.id }

// fill makes a new journal with an identity of its own.
func fill(tx tables) error {
	for _, name := range allBuckets() {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	meta := tx.Bucket(bucketMeta)
	return errors.Join(
		seal(meta, keyVersion, binary.BigEndian.AppendUint32(nil, schemaVersion)),
		seal(meta, keyID, []byte(strings.ToLower(ulid.Make().String()))),
		seal(meta, keyEpoch, binary.BigEndian.AppendUint64(nil, 0)),
		seal(meta, keySequence, binary.BigEndian.AppendUint64(nil, 1)),
		noNews(meta),
	)
}

// check reads the journal's identity, and refuses a file that is not a whole journal of this version.
func (j *Journal) check(tx tables) error {
	for _, name := range allBuckets() {
		if tx.Bucket(name) == nil {
			return j.corrupt(fmt.Sprintf("it has no %q", name))
		}
	}
	meta := tx.Bucket(bucketMeta)
	v, err := j.version(tx)
	if err != nil {
		return err
	}
	if v != schemaVersion {
		return fmt.Errorf("journal %q: has version %d, this agent reads version %d; it was left as it is: use the agent that wrote it", j.path, v, schemaVersion)
	}
	sequence, err := j.sequence(tx)
	if err != nil {
		return err
	}
	j.told.Store(sequence)
	id, err := j.unseal(meta, keyID, "id")
	j.id = string(id)
	return err
}

// Epoch returns the greatest server epoch that was seen.
func (j *Journal) Epoch() (uint64, error) {
	var epoch uint64
	err := j.view(func(tx tables) (err error) {
		epoch, err = j.epoch(tx)
		return err
	})
	return epoch, err
}

func (j *Journal) epoch(tx tables) (uint64, error) { return j.number(tx, keyEpoch) }

// number reads a number of the journal itself.
func (j *Journal) number(tx tables, key []byte) (uint64, error) {
	b, err := j.unseal(tx.Bucket(bucketMeta), key, string(key))
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, j.corrupt(fmt.Sprintf("its %s is damaged", key))
	}
	return binary.BigEndian.Uint64(b), nil
}

// RaiseEpoch remembers a server epoch. One that is not greater than what was seen changes nothing, and is not written.
func (j *Journal) RaiseEpoch(epoch uint64) error {
	if seen, err := j.Epoch(); err != nil || epoch <= seen {
		return err
	}
	return j.write(func(tx tables) error {
		seen, err := j.epoch(tx)
		if err != nil || epoch <= seen {
			return err
		}
		return seal(tx.Bucket(bucketMeta), keyEpoch, binary.BigEndian.AppendUint64(nil, epoch))
	})
}

// read opens the record at key into m. Messages call it name.
func (j *Journal) read(b *bbolt.Bucket, key []byte, name string, m proto.Message) error {
	payload, err := j.unseal(b, key, name)
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(payload, m); err != nil {
		return j.corrupt(fmt.Sprintf("record %q: %v", name, err))
	}
	return nil
}

func (j *Journal) unseal(b *bbolt.Bucket, key []byte, name string) ([]byte, error) {
	payload, err := boltfile.UnsealFor(key, b.Get(key))
	if err != nil {
		return nil, j.corrupt(fmt.Sprintf("record %q does not carry its own checksum", name))
	}
	return payload, nil
}

func (j *Journal) corrupt(reason string) error {
	return &boltfile.CorruptError{Path: j.path, Reason: reason, Advice: advice}
}

// put seals m and writes it.
func put(b *bbolt.Bucket, key []byte, m proto.Message) error {
	payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return err
	}
	return seal(b, key, payload)
}

// seal writes a record with a checksum over its key and payload.
func seal(b *bbolt.Bucket, key, payload []byte) error {
	return b.Put(key, boltfile.SealFor(key, payload))
}
