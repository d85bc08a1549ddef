package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

func put(w store.Writer, t store.Table, key []byte, m proto.Message) error {
	value, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return w.Put(t, key, value)
}

// readJob returns the refusal NOT_FOUND when there is none.
func readJob(r store.Reader, id string) (*storagev1.JobRecord, error) {
	if !validID(id) {
		return nil, errNoJob(id)
	}
	value, err := r.Get(store.TableJobs, store.JobKey(id))
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoJob(id)
	}
	if err != nil {
		return nil, fmt.Errorf("job %q: %w", id, err)
	}
	return parseJob(id, value)
}

func parseJob(id string, value []byte) (*storagev1.JobRecord, error) {
	rec := &storagev1.JobRecord{}
	if err := proto.Unmarshal(value, rec); err != nil {
		return nil, fmt.Errorf("job %q: %w", id, err)
	}
	return rec, nil
}

func readTask(r store.Reader, id string, index uint32) (*storagev1.TaskRecord, error) {
	value, err := r.Get(store.TableTasks, store.TaskKey(id, index))
	if err != nil {
		return nil, fmt.Errorf("job %q: task %d: %w", id, index, err)
	}
	return parseTask(id, value)
}

func parseTask(id string, value []byte) (*storagev1.TaskRecord, error) {
	rec := &storagev1.TaskRecord{}
	if err := proto.Unmarshal(value, rec); err != nil {
		return nil, fmt.Errorf("job %q: a task: %w", id, err)
	}
	return rec, nil
}

// compareIDs is the order in which targets are frozen.
func compareIDs(a, b string) int { return strings.Compare(store.Ordinal(a), store.Ordinal(b)) }

// findTask finds the task of a terminal among the total tasks of a job: they are frozen in the order of terminal ids.
func findTask(r store.Reader, id, terminalID string, total uint32) (*storagev1.TaskRecord, error) {
	low, high := uint32(0), total
	for low < high {
		middle := low + (high-low)/2
		rec, err := readTask(r, id, middle)
		if err != nil {
			return nil, err
		}
		switch order := compareIDs(rec.GetTask().GetTerminalId(), terminalID); {
		case order == 0:
			return rec, nil
		case order < 0:
			low = middle + 1
		default:
			high = middle
		}
	}
	return nil, errForeign(id, terminalID)
}

// keysUnder collects the keys of a table that begin with prefix.
func keysUnder(ctx context.Context, st store.Store, t store.Table, prefix []byte) ([][]byte, error) {
	var keys [][]byte
	err := st.View(ctx, func(s store.Snapshot) error {
		keys = nil
		return s.Scan(t, prefix, nil, func(key, _ []byte) bool {
			keys = append(keys, append([]byte(nil), key...))
			return true
		})
	})
	return keys, err
}

// deleteKeys deletes keys in updates of bounded size.
func deleteKeys(ctx context.Context, st store.Store, t store.Table, keys [][]byte) error {
	return inUpdates(ctx, st, keys, maxWrites, func(w store.Writer, key []byte) error { return w.Delete(t, key) })
}

// maxWrites keeps an update below the store's limit of writes.
const maxWrites = 90

// sharedUpdates is how many updates of one caller share a commit.
const sharedUpdates = 16

// inUpdates calls write for each item, at most size of them in one update. The updates have no order among them.
func inUpdates[T any](ctx context.Context, st store.Store, items []T, size int, write func(store.Writer, T) error) error {
	var all errgroup.Group
	all.SetLimit(sharedUpdates)
	for chunk := range slices.Chunk(items, size) {
		all.Go(func() error {
			return st.Update(ctx, func(w store.Writer) error {
				for _, item := range chunk {
					if err := write(w, item); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	return all.Wait()
}

// visible returns the job as a reader sees it, or NOT_FOUND when none of its sites is seen.
func visible(rec *storagev1.JobRecord, sites map[string]*fleetv1.JobCounts, seen scope) (*fleetv1.Job, error) {
	job := proto.CloneOf(rec.GetJob())
	all := job.Sites
	job.Sites = nil
	for _, site := range all {
		if seen(site) {
			job.Sites = append(job.Sites, site)
		}
	}
	if len(job.Sites) == 0 {
		return nil, errNoJob(job.GetId())
	}
	if len(job.Sites) < len(all) {
		// These name what the reader may not know of.
		job.Selection = nil
		if job.GetProgress() != nil {
			job.Progress.Sick = nil
		}
		for _, p := range append(job.GetPastPauses(), job.GetPause()) {
			if p.GetBy() == byRollout {
				p.Reason = limitReached
			}
		}
		if job.GetCancelledBy() == byRollout {
			job.CancelReason = limitReached
		}
		asPartlySeen(job.GetApproval())
	}
	job.Counts = sumCounts(sites, seen)
	return job, nil
}

// shown is an active job's record as it is told: with how far its rollout is.
func (j *job) shown() *storagev1.JobRecord {
	if !j.finished {
		j.rec.Job.Progress = j.progress()
	}
	return j.rec
}
