package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// EffectIntent journals that an effect is about to be done, with the state before it and how it is undone. It returns the
// effect's number within its task.
func (j *Journal) EffectIntent(k *agentv1.TaskKey, run uint32, e *actionv1.RecordedEffect) (sequence uint32, err error) {
	key, err := taskKey(k)
	if err != nil {
		return 0, err
	}
	err = j.write(func(tx tables) error {
		rec, err := j.task(tx, key)
		if err != nil {
			return err
		}
		if rec.GetState() != agentv1.TaskState_TASK_STATE_STARTED {
			return fmt.Errorf("task %q: is %s in the journal, so it may have no effect", nameOf(k), rec.GetState())
		}
		sequence = lastSequence(tx, key) + 1
		return put(tx.Bucket(bucketEffects), effectKey(key, sequence), &storagev1.JournalEffect{Effect: e, Run: run})
	})
	return sequence, err
}

// EffectOutcome journals what came of an effect whose intent was journalled.
func (j *Journal) EffectOutcome(k *agentv1.TaskKey, sequence uint32, e *actionv1.RecordedEffect) error {
	key, err := taskKey(k)
	if err != nil {
		return err
	}
	return j.write(func(tx tables) error {
		b := tx.Bucket(bucketEffects)
		at := effectKey(key, sequence)
		if b.Get(at) == nil {
			return fmt.Errorf("task %q: effect %d: %w", nameOf(k), sequence, ErrUnknownTask)
		}
		var kept storagev1.JournalEffect
		if err := j.read(b, at, fmt.Sprintf("%s effect %d", nameOf(k), sequence), &kept); err != nil {
			return err
		}
		kept.Effect, kept.Finished = e, true
		return put(b, at, &kept)
	})
}

// Effects returns the effects of a task without a result, of all its runs, in the order in which they were begun. Effect i
// has the number i+1.
func (j *Journal) Effects(k *agentv1.TaskKey) ([]*storagev1.JournalEffect, error) {
	key, err := taskKey(k)
	if err != nil {
		return nil, err
	}
	var effects []*storagev1.JournalEffect
	err = j.view(func(tx tables) error {
		b := tx.Bucket(bucketEffects)
		c := b.Cursor()
		for at, _ := c.Seek(key); bytes.HasPrefix(at, key); at, _ = c.Next() {
			e := &storagev1.JournalEffect{}
			if err := j.read(b, at, fmt.Sprintf("%s effect %d", nameOf(k), len(effects)+1), e); err != nil {
				return err
			}
			effects = append(effects, e)
		}
		return nil
	})
	return effects, err
}

// lastSequence returns the number of the task's latest effect, 0 if it has none.
func lastSequence(tx tables, key []byte) uint32 {
	var last uint32
	c := tx.Bucket(bucketEffects).Cursor()
	for at, _ := c.Seek(key); bytes.HasPrefix(at, key); at, _ = c.Next() {
		last = binary.BigEndian.Uint32(at[len(key):])
	}
	return last
}

// forgetEffects removes a task's effects.
func forgetEffects(tx tables, key []byte) error {
	b := tx.Bucket(bucketEffects)
	for last := lastSequence(tx, key); last > 0; last-- {
		if err := b.Delete(effectKey(key, last)); err != nil {
			return err
		}
	}
	return nil
}
