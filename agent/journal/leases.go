package journal

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// FinishLeased is Finish, and journals what of the task's changes is to end by itself, in one write: no change that must end can outlive a
// crash without its lease. A nil lease is none.
func (j *Journal) FinishLeased(k *agentv1.TaskKey, result *actionv1.TaskResult, at time.Time, lease *storagev1.JournalLease) error {
	key, err := taskKey(k)
	if err != nil {
		return err
	}
	return j.write(func(tx tables) error {
		rec, err := j.task(tx, key)
		if err != nil {
			return err
		}
		if rec.GetState() == agentv1.TaskState_TASK_STATE_FINISHED {
			return fmt.Errorf("task %q: has a result already", nameOf(k))
		}
		rec.State = agentv1.TaskState_TASK_STATE_FINISHED
		rec.Result = result
		rec.Finished = timestamppb.New(at)
		rec.Cancelled = result.GetStatus() == actionv1.TaskStatus_TASK_STATUS_CANCELLED
		return errors.Join(put(tx.Bucket(bucketTasks), key, rec), forgetEffects(tx, key), putLease(tx, lease))
	})
}

func putLease(tx tables, lease *storagev1.JournalLease) error {
	if lease == nil {
		return nil
	}
	if lease.GetId() == "" {
		return errors.New("lease without an id")
	}
	return put(tx.Bucket(bucketLeases), []byte(lease.GetId()), lease)
}

// PutLease journals what became of a lease.
func (j *Journal) PutLease(lease *storagev1.JournalLease) error {
	return j.write(func(tx tables) error { return putLease(tx, lease) })
}

// DropLease forgets a lease that has ended and that the server knows of. One that is not there is no error.
func (j *Journal) DropLease(id string) error {
	return j.write(func(tx tables) error {
		return tx.Bucket(bucketLeases).Delete([]byte(id))
	})
}

// Leases returns the changes that are still to end, and those that have ended and are news, by id.
func (j *Journal) Leases() ([]*storagev1.JournalLease, error) {
	var all []*storagev1.JournalLease
	err := j.view(func(tx tables) error {
		b := tx.Bucket(bucketLeases)
		return b.ForEach(func(key, _ []byte) error {
			l := &storagev1.JournalLease{}
			if err := j.read(b, key, string(key), l); err != nil {
				return err
			}
			all = append(all, l)
			return nil
		})
	})
	return all, err
}
