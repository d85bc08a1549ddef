package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	// sweepLooks bounds how many jobs one sweep looks at, and sweepJobs how many it deletes: the rest is for the next one.
	sweepLooks = 10_000
	sweepJobs  = 500
)

// Sweep deletes jobs that were done before a time, with their tasks, oldest first, and returns how many. Audit records stay: they
// say what was asked for, by whom, and how each task ended. Each call does a bounded amount of work; more says that there is more to do.
func Sweep(ctx context.Context, st store.Store, doneBefore, now time.Time) (deleted int, more bool, err error) {
	old, more, err := doneJobs(ctx, st, doneBefore)
	for _, rec := range old {
		if err == nil {
			err = deleteJob(ctx, st, rec, now)
		}
		if err == nil {
			deleted++
		}
	}
	return deleted, more && err == nil, err
}

// doneJobs finds the oldest jobs that were done before a time. Jobs are kept in the order of their creation.
func doneJobs(ctx context.Context, st store.Store, before time.Time) (old []*storagev1.JobRecord, more bool, err error) {
	var bad error
	err = st.View(ctx, func(v store.Snapshot) error {
		old, more, bad = nil, false, nil
		looked := 0
		return v.Scan(store.TableJobs, nil, nil, func(key, value []byte) bool {
			var rec *storagev1.JobRecord
			if rec, bad = parseJob(string(key), value); bad != nil {
				return false
			}
			job := rec.GetJob()
			if !job.GetCreated().AsTime().Before(before) {
				return false
			}
			if looked++; looked > sweepLooks || len(old) == sweepJobs {
				more = len(old) > 0
				return false
			}
			if job.GetState() == fleetv1.JobState_JOB_STATE_DONE && job.GetFinished().AsTime().Before(before) {
				old = append(old, rec)
			}
			return true
		})
	})
	if err == nil {
		err = bad
	}
	return old, more, err
}

// deleteJob hides the job first: a sweep that is cut short is taken up when the engine is opened next, as for a job whose creation was.
func deleteJob(ctx context.Context, st store.Store, rec *storagev1.JobRecord, now time.Time) error {
	id := rec.GetJob().GetId()
	rec.Job.State = fleetv1.JobState_JOB_STATE_DELETING
	err := st.Update(ctx, func(w store.Writer) error {
		return errors.Join(
			w.Put(store.TableActiveJobs, store.JobKey(id), nil),
			put(w, store.TableJobs, store.JobKey(id), rec),
			audit.Append(w, now, forgotten(rec)))
	})
	if err == nil {
		err = discard(ctx, st, id)
	}
	if err != nil {
		return fmt.Errorf("job %q: retention: %w", id, err)
	}
	return nil
}

// forgotten is the audit record of a job whose retention is over.
func forgotten(rec *storagev1.JobRecord) audit.Entry {
	job := rec.GetJob()
	entry := jobEntry(identity.Name{}, "job.forget", rec, "its retention is over")
	entry.Changes = append(entry.Changes,
		audit.Change("action", job.GetAction(), ""), audit.Change("requester", job.GetRequester(), ""),
		audit.Change("created", job.GetCreated().AsTime().Format(time.RFC3339), ""),
		audit.Change("targets", fmt.Sprint(job.GetCounts().GetTotal()), ""), audit.Change("targets_digest", rec.GetTargetsDigest(), ""))
	return entry
}
