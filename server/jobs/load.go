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
	if rec.GetJob().GetState() == fleetv1.JobState_JOB_STATE_PREPARING {
		e.log.Warn("removing a job whose creation was cut short", "job", id)
		return discard(ctx, e.st, id)
	}
	if total := rec.GetJob().GetCounts().GetTotal(); int(total) != len(tasks) {
		return fmt.Errorf("job %q: %d tasks are stored, want %d; restore the server's store from a backup", id, len(tasks), total)
	}
	e.adopt(rec, tasks, permits)
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
	at      time.Time
	journal string
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
			if i < len(batch.GetJournals()) {
				m.journal = batch.GetJournals()[i]
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

// adopt takes an active job in.
func (e *Engine) adopt(rec *storagev1.JobRecord, tasks []*storagev1.TaskRecord, given *permits) {
	j := &job{id: rec.GetJob().GetId(), rec: rec, sites: make(map[string]*fleetv1.JobCounts), nextPermit: given.next, watches: make(map[*Watch]struct{})}
	j.tasks = make([]*task, len(tasks))
	for i, stored := range tasks {
		t := &task{job: j, index: uint32(i), site: stored.GetTask().GetSite()}
		j.tasks[i] = t
		c := j.sites[t.site]
		if c == nil {
			c = &fleetv1.JobCounts{}
			j.sites[t.site] = c
			e.site(t.site)
		}
		c.Total++
		if stored.GetTask().GetState() == fleetv1.TaskState_TASK_STATE_DONE {
			t.phase = done
			*bucket(c, stored.GetTask().GetStatus())++
			continue
		}
		c.Waiting++
		e.reopen(t, stored.GetTask().GetTerminalId(), given)
	}
	e.active = append(e.active, j)
	e.byID[j.id] = j
	j.lookNoLaterThan(j.expires())
	if j.open == 0 {
		e.pending.finishes = append(e.pending.finishes, j)
	}
}

// reopen takes a task up that is not done. One that was given a permit may be running, and so may any of a restored job: it
// keeps its slot until its agent tells more.
func (e *Engine) reopen(t *task, terminalID string, given *permits) {
	t.job.open++
	t.terminal = e.terminal(terminalID)
	t.terminal.open = append(t.terminal.open, t)
	if m, ok := given.given[t.index]; ok || t.job.rec.GetRestored() {
		t.change(func() { t.phase, t.permitted, t.journal = permitted, m.at, m.journal })
		t.takeSlot()
	}
	t.enqueue()
	if e.isRetired(t) {
		e.endRetired(t)
	}
}

// discard removes every trace of a job that was never active.
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
