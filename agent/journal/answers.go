package journal

import (
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// SaveAnswer journals what a person answered a started task, by id of the planned effect that asked, and returns the answer that
// is in the journal: the first one. Nil, without an error, says that the task has ended and nothing was written.
func (j *Journal) SaveAnswer(k *agentv1.TaskKey, planID string, answer *actionv1.Confirmation) (kept *actionv1.Confirmation, err error) {
	key, err := taskKey(k)
	if err != nil {
		return nil, err
	}
	err = j.write(func(tx tables) error {
		kept = nil
		rec, err := j.task(tx, key)
		if err != nil || rec.GetState() != agentv1.TaskState_TASK_STATE_STARTED {
			return err
		}
		if kept = rec.GetAnswers()[planID]; kept != nil {
			return nil
		}
		if rec.Answers == nil {
			rec.Answers = map[string]*actionv1.Confirmation{}
		}
		rec.Answers[planID], kept = answer, answer
		return put(tx.Bucket(bucketTasks), key, rec)
	})
	if err != nil {
		return nil, err
	}
	return kept, nil
}
