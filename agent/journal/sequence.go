package journal

import (
	"encoding/binary"
)

// Sequence returns how often the journal has been written to, as far as that is on disk. An older copy of the file has a smaller one.
func (j *Journal) Sequence() uint64 { return j.told.Load() }

// BeginSession makes a write for a session that is about to begin, and returns the sequence. Without it a copy that was taken before the
// last session would not differ from the file as long as nothing was written in that session.
func (j *Journal) BeginSession() (uint64, error) {
	if err := j.write(func(tables) error { return nil }); err != nil {
		return 0, err
	}
	return j.Sequence(), nil
}

func (j *Journal) sequence(tx tables) (uint64, error) { return j.number(tx, keySequence) }

// count makes the sequence one greater, in a transaction that writes something else.
func (j *Journal) count(tx tables) (uint64, error) {
	sequence, err := j.sequence(tx)
	if err != nil {
		return 0, err
	}
	sequence++
	return sequence, seal(tx.Bucket(bucketMeta), keySequence, binary.BigEndian.AppendUint64(nil, sequence))
}

// written notes a sequence that is on disk. Of writes that shared a commit the last may be noted first.
func (j *Journal) written(sequence uint64) {
	for {
		told := j.told.Load()
		if sequence <= told || j.told.CompareAndSwap(told, sequence) {
			return
		}
	}
}
