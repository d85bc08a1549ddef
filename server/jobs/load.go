package jobs

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// load rebuilds the running state from the store.
func (e *Engine) load(ctx context.Context) error {
	keys, err := keysUnder(ctx, e.st, store.TableActiveJobs, nil)
	if err != nil {
		return fmt.Errorf("jobs: %w", err)
	}
	for _, key := range keys {
		if err := e.loadJob(ctx, string(key)); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) loadJob(ctx context.Context, id string) error {
	var rec *storagev1.JobRecord
	var tasks []*storagev1.TaskRecord
	var permits *permits
	err := e.st.View(ctx, func(s store.Snapshot) (err error) {
		if rec, err = readJob(s, id); err != nil || rec.GetJob().GetState() != fleetv1.JobState_JOB_STATE_ACTIVE {
			return err
		}
		if tasks, err = readTasks(s, id); err != nil {
			return err
		}
		permits, err = readPermits(s, id)
		return err
	})
	if err != nil {
		return err
	}
	if hidden(rec.GetJob()) {
		e.log.Warn("removing a job whose creation or deletion was cut short", "job", id)
		return discard(ctx, e.st, id)
	}
	if total := rec.GetJob().GetCounts().GetTotal(); int(total) != len(tasks) {
		return fmt.Errorf("job %q: %d tasks are stored, want %d; restore the server's store from a backup", id, len(tasks), total)
	}
	all, err := e.members(ctx, rec.GetJob())
	if err != nil {
		return err
	}
	e.adopt(rec, tasks, permits, all)
	return nil
}

// readTasks reads every task of a job, without results: they stay in the store.
func readTasks(s store.Snapshot, id string) ([]*storagev1.TaskRecord, error) {
	var tasks []*storagev1.TaskRecord
	var bad error
	err := s.Scan(store.TableTasks, store.JobKey(id), nil, func(_, value []byte) bool {
		rec, err := parseTask(id, value)
		if err != nil {
			bad = err
			return false
		}
		rec.GetTask().Result = nil
		tasks = append(tasks, rec)
		return true
	})
	if err == nil {
		err = bad
	}
	return tasks, err
}

// permits are the marks of a job's permits, the last of each task.
type permits struct {
	given   map[uint32]mark
	next    uint64
	batches int
}

type mark struct {
	at       time.Time
	journal  string
	sequence uint64
	// started is when it was told as started; zero when it was not.
	started time.Time
}

func readPermits(s store.Snapshot, id string) (*permits, error) {
	p := &permits{given: make(map[uint32]mark)}
	var bad error
	err := s.Scan(store.TablePermits, store.JobKey(id), nil, func(key, value []byte) bool {
		batch := &storagev1.PermitBatch{}
		if bad = proto.Unmarshal(value, batch); bad != nil {
			return false
		}
		for i, index := range batch.GetIndexes() {
			m := mark{at: batch.GetTime().AsTime()}
			if batch.GetStarted() {
				m.at, m.started = p.given[index].at, m.at
			}
			if i < len(batch.GetJournals()) {
				m.journal = batch.GetJournals()[i]
			}
			if i < len(batch.GetSequences()) {
				m.sequence = batch.GetSequences()[i]
			}
			p.given[index] = m
		}
		p.next = store.PermitSequence(key) + 1
		p.batches++
		return true
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return nil, fmt.Errorf("job %q: permits: %w", id, err)
	}
	return p, nil
}

// hidden reports whether nobody is shown a job: it is not there yet, or no more.
func hidden(job *fleetv1.Job) bool {
	s := job.GetState()
	return s == fleetv1.JobState_JOB_STATE_PREPARING || s == fleetv1.JobState_JOB_STATE_DELETING
}

// discard removes every trace of a job that nobody is shown.
func discard(ctx context.Context, st store.Store, id string) error {
	tasks, err := keysUnder(ctx, st, store.TableTasks, store.JobKey(id))
	if err != nil {
		return err
	}
	if err := deleteKeys(ctx, st, store.TableTasks, tasks); err != nil {
		return err
	}
	return st.Update(ctx, func(w store.Writer) error {
		if err := w.Delete(store.TableActiveJobs, store.JobKey(id)); err != nil {
			return err
		}
		return w.Delete(store.TableJobs, store.JobKey(id))
	})
}
