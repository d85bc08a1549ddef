package journal

import (
	"bytes"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// Accept journals a task as ACCEPTED. When its key is there already, known is true, nothing is written and the record that
// is there is returned.
func (j *Journal) Accept(t *agentv1.Task, at time.Time) (rec *storagev1.JournalTask, known bool, err error) {
	return j.admit(&storagev1.JournalTask{
		Task: t, State: agentv1.TaskState_TASK_STATE_ACCEPTED, Accepted: timestamppb.New(at),
	})
}

// Reject journals a task together with the result that it will not be started. A known key is answered as by Accept.
func (j *Journal) Reject(t *agentv1.Task, at time.Time, result *actionv1.TaskResult) (rec *storagev1.JournalTask, known bool, err error) {
	return j.admit(&storagev1.JournalTask{
		Task: t, State: agentv1.TaskState_TASK_STATE_FINISHED, Accepted: timestamppb.New(at), Finished: timestamppb.New(at), Result: result,
	})
}

func (j *Journal) admit(fresh *storagev1.JournalTask) (rec *storagev1.JournalTask, known bool, err error) {
	key, err := taskKey(fresh.GetTask().GetKey())
	if err != nil {
		return nil, false, err
	}
	err = j.write(func(tx tables) error {
		rec, known = fresh, false
		if tx.Bucket(bucketTasks).Get(key) != nil {
			known = true
			rec, err = j.task(tx, key)
			return err
		}
		if err := seal(tx.Bucket(bucketOpen), key, nil); err != nil {
			return err
		}
		return put(tx.Bucket(bucketTasks), key, fresh)
	})
	if err != nil {
		return nil, false, err
	}
	return rec, known, nil
}

// Start journals that a task begins, for the first time.
func (j *Journal) Start(k *agentv1.TaskKey, at time.Time, bootID string) error {
	return j.update(k, agentv1.TaskState_TASK_STATE_ACCEPTED, func(rec *storagev1.JournalTask) {
		rec.State = agentv1.TaskState_TASK_STATE_STARTED
		rec.Started = timestamppb.New(at)
		rec.BootId = bootID
		rec.Runs = 1
		rec.Phase = actionv1.Phase_PHASE_PLAN
	})
}

// Rerun journals that a started task begins again from its plan.
func (j *Journal) Rerun(k *agentv1.TaskKey, bootID string) error {
	return j.update(k, agentv1.TaskState_TASK_STATE_STARTED, func(rec *storagev1.JournalTask) {
		rec.BootId = bootID
		rec.Runs++
		rec.Phase = actionv1.Phase_PHASE_PLAN
		rec.Plan = nil
	})
}

// SavePlan journals a started task's plan.
func (j *Journal) SavePlan(k *agentv1.TaskKey, plan *actionv1.Plan) error {
	return j.update(k, agentv1.TaskState_TASK_STATE_STARTED, func(rec *storagev1.JournalTask) { rec.Plan = plan })
}

// EnterPhase journals which phase a started task enters.
func (j *Journal) EnterPhase(k *agentv1.TaskKey, phase actionv1.Phase) error {
	return j.update(k, agentv1.TaskState_TASK_STATE_STARTED, func(rec *storagev1.JournalTask) { rec.Phase = phase })
}

// SaveUndone journals all that was put back so far for a started task.
func (j *Journal) SaveUndone(k *agentv1.TaskKey, undone []*actionv1.Undo) error {
	return j.update(k, agentv1.TaskState_TASK_STATE_STARTED, func(rec *storagev1.JournalTask) { rec.Undone = undone })
}

// Finish journals the result of a task that was accepted or started, once. Its effects are in the result from then on.
func (j *Journal) Finish(k *agentv1.TaskKey, result *actionv1.TaskResult, at time.Time) error {
	return j.FinishLeased(k, result, at, nil)
}

// Acknowledge notes that the server has a finished task's result on its disk. Repeating it changes nothing.
func (j *Journal) Acknowledge(k *agentv1.TaskKey, at time.Time) error {
	return j.write(func(tx tables) error { return j.acknowledge(tx, k, at) })
}

func (j *Journal) acknowledge(tx tables, k *agentv1.TaskKey, at time.Time) error {
	key, err := taskKey(k)
	if err != nil {
		return err
	}
	rec, err := j.task(tx, key)
	if err != nil {
		return err
	}
	if rec.GetState() != agentv1.TaskState_TASK_STATE_FINISHED {
		return fmt.Errorf("task %q: has no result to acknowledge", nameOf(k))
	}
	if rec.GetAcknowledged() {
		return nil
	}
	rec.Acknowledged = true
	if err := put(tx.Bucket(bucketTasks), key, rec); err != nil {
		return err
	}
	return j.retire(tx, key, at)
}

// OpenTasks returns the tasks without an acknowledged result, the one accepted first at the head.
func (j *Journal) OpenTasks() ([]*storagev1.JournalTask, error) {
	var open []*storagev1.JournalTask
	err := j.view(func(tx tables) error {
		return tx.Bucket(bucketOpen).ForEach(func(key, _ []byte) error {
			rec, err := j.task(tx, key)
			open = append(open, rec)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	sortByAcceptance(open)
	return open, nil
}

// Task returns a task's record, or ErrUnknownTask.
func (j *Journal) Task(k *agentv1.TaskKey) (rec *storagev1.JournalTask, err error) {
	key, err := taskKey(k)
	if err != nil {
		return nil, err
	}
	err = j.view(func(tx tables) error {
		rec, err = j.task(tx, key)
		return err
	})
	return rec, err
}

// update changes the record of a task that is in the state wanted.
func (j *Journal) update(k *agentv1.TaskKey, want agentv1.TaskState, change func(*storagev1.JournalTask)) error {
	key, err := taskKey(k)
	if err != nil {
		return err
	}
	return j.write(func(tx tables) error {
		rec, err := j.task(tx, key)
		if err != nil {
			return err
		}
		if rec.GetState() != want {
			return fmt.Errorf("task %q: is %s in the journal, want %s", nameOf(k), rec.GetState(), want)
		}
		change(rec)
		return put(tx.Bucket(bucketTasks), key, rec)
	})
}

// task reads the record at key and checks that it is that key's own.
func (j *Journal) task(tx tables, key []byte) (*storagev1.JournalTask, error) {
	b := tx.Bucket(bucketTasks)
	if b.Get(key) == nil {
		return nil, fmt.Errorf("task %q: %w", key, ErrUnknownTask)
	}
	rec := &storagev1.JournalTask{}
	if err := j.read(b, key, string(key), rec); err != nil {
		return nil, err
	}
	if own, err := taskKey(rec.GetTask().GetKey()); err != nil || !bytes.Equal(own, key) {
		return nil, j.corrupt(fmt.Sprintf("record %q is another task's", key))
	}
	return rec, nil
}
