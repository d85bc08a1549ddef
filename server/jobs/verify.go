package jobs

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// Verify compares jobs with their tasks, their counts, their permits and the list of those that are active. The error names
// the first that does not agree; found says in words how many there are.
func Verify(ctx context.Context, st store.Store) (found string, err error) {
	err = st.View(ctx, func(v store.Snapshot) error {
		c := &verifier{v: v}
		var bad error
		err := v.Scan(store.TableJobs, nil, nil, func(key, value []byte) bool {
			if bad = errors.Join(ctx.Err(), c.job(string(key), value)); bad != nil {
				bad = fmt.Errorf("job %q: %w", key, bad)
			}
			return bad == nil
		})
		if err := errors.Join(err, bad); err != nil {
			return err
		}
		found = fmt.Sprintf("%d jobs (%d of them active), %d tasks", c.jobs, c.active, c.tasks)
		return errors.Join(
			c.nothingElse(store.TableActiveJobs, c.active), c.nothingElse(store.TableTasks, c.tasks), c.nothingElse(store.TablePermits, c.permits))
	})
	return found, err
}

type verifier struct {
	v                            store.Snapshot
	jobs, active, tasks, permits int
}

// nothingElse wants a table to hold only what belongs to a job.
func (c *verifier) nothingElse(t store.Table, want int) error {
	n := 0
	err := c.v.Scan(t, nil, nil, func(_, _ []byte) bool { n++; return true })
	if err == nil && n != want {
		err = fmt.Errorf("table %q: holds %d records, and %d belong to jobs", t, n, want)
	}
	return err
}

func (c *verifier) job(id string, value []byte) error {
	rec, err := parseJob(id, value)
	if err != nil {
		return err
	}
	c.jobs++
	state := rec.GetJob().GetState()
	if rec.GetJob().GetId() != id {
		return fmt.Errorf("its record is that of job %q", rec.GetJob().GetId())
	}
	if state != fleetv1.JobState_JOB_STATE_DONE {
		c.active++
		if _, err := c.v.Get(store.TableActiveJobs, store.JobKey(id)); err != nil {
			return fmt.Errorf("is %s; its record in table %q: %w", state, store.TableActiveJobs, err)
		}
	}
	if hidden(rec.GetJob()) {
		// Some of its tasks may be there, in any order.
		return c.v.Scan(store.TableTasks, store.JobKey(id), nil, func(_, _ []byte) bool { c.tasks++; return true })
	}
	counts, n, err := c.countTasks(rec)
	c.tasks += n
	if err != nil {
		return err
	}
	total := rec.GetJob().GetCounts().GetTotal()
	switch {
	case uint32(n) != total:
		return fmt.Errorf("has %d tasks, and %d were frozen", n, total)
	case state == fleetv1.JobState_JOB_STATE_DONE && !proto.Equal(counts, rec.GetJob().GetCounts()):
		return fmt.Errorf("its counts are {%v}, and those of its tasks {%v}", rec.GetJob().GetCounts(), counts)
	}
	if err := checkApproval(rec); err != nil {
		return err
	}
	given, err := readPermits(c.v, id)
	if err != nil {
		return err
	}
	c.permits += given.batches
	for index := range given.given {
		if index >= total {
			return fmt.Errorf("a permit is for task %d of %d", index, total)
		}
	}
	return nil
}

// countTasks checks the tasks of a job and counts them.
func (c *verifier) countTasks(rec *storagev1.JobRecord) (counts *fleetv1.JobCounts, n int, err error) {
	counts = &fleetv1.JobCounts{}
	id, last := rec.GetJob().GetId(), ""
	var bad error
	err = c.v.Scan(store.TableTasks, store.JobKey(id), nil, func(_, value []byte) bool {
		var t *storagev1.TaskRecord
		if t, bad = parseTask(id, value); bad == nil {
			bad = checkTask(t.GetTask(), id, uint32(n), last)
		}
		if bad != nil {
			bad = fmt.Errorf("task %d: %w", n, bad)
			return false
		}
		n++
		last = t.GetTask().GetTerminalId()
		counts.Total++
		if t.GetTask().GetState() == fleetv1.TaskState_TASK_STATE_DONE {
			*bucket(counts, t.GetTask().GetStatus())++
		} else {
			counts.Waiting++
		}
		return true
	})
	return counts, n, errors.Join(err, bad)
}

func checkTask(t *fleetv1.Task, id string, index uint32, last string) error {
	switch {
	case t.GetJobId() != id || t.GetIndex() != index:
		return fmt.Errorf("in its place lies task %d of job %q", t.GetIndex(), t.GetJobId())
	case last != "" && compareIDs(last, t.GetTerminalId()) >= 0:
		return fmt.Errorf("terminal %q stands after terminal %q", t.GetTerminalId(), last)
	}
	return nil
}

// checkApproval wants what is put before approvers to be what the record holds. Of a job that is done it was, in the release that
// did it.
func checkApproval(rec *storagev1.JobRecord) error {
	a, total := rec.GetJob().GetApproval(), int(rec.GetJob().GetCounts().GetTotal())
	switch {
	case a == nil || rec.GetJob().GetState() != fleetv1.JobState_JOB_STATE_ACTIVE:
		return nil
	case len(rec.GetPluginSha256()) != total:
		return fmt.Errorf("%d plugins were frozen for approval, and it has %d targets", len(rec.GetPluginSha256()), total)
	case a.GetDigest() != approvalDigest(rec):
		return fmt.Errorf("its digest for approval is %s, and that of its record %s", a.GetDigest(), approvalDigest(rec))
	}
	return nil
}
