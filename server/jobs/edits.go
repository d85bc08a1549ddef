package jobs

import (
	"context"
	"errors"
	"slices"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// edit is a change that the engine itself makes to a job's record. What runs goes by it at once; the store gets it with the next
// batch, and again until it takes it.
type edit struct {
	jobID string
	amendment
}

func (e *Engine) edit(j *job, entry audit.Entry, change func(*fleetv1.Job, *storagev1.JobRecord)) {
	change(j.rec.GetJob(), j.rec)
	j.changedItself()
	e.pending.edits = append(e.pending.edits, &edit{j.id, amendment{change, entry}})
}

// byJobID keeps the order of each job's edits.
func byJobID(edits []*edit) map[string][]*edit {
	groups := make(map[string][]*edit)
	for _, d := range edits {
		groups[d.jobID] = append(groups[d.jobID], d)
	}
	return groups
}

// editsPerUpdate keeps an update below the store's limit of writes: an edit has two for its audit record.
const editsPerUpdate = 20

// writeEdits makes the edits of one job, in order, and returns how many are on disk.
func (e *Engine) writeEdits(ctx context.Context, edits []*edit) (written int, err error) {
	for chunk := range slices.Chunk(edits, editsPerUpdate) {
		if err := e.writeEditsOnce(ctx, chunk); err != nil {
			return written, err
		}
		written += len(chunk)
	}
	return written, nil
}

func (e *Engine) writeEditsOnce(ctx context.Context, edits []*edit) error {
	return e.st.Update(ctx, func(w store.Writer) error {
		id := edits[0].jobID
		rec, err := readJob(w, id)
		var gone *refusal.Error
		if errors.As(err, &gone) || rec.GetJob().GetState() == fleetv1.JobState_JOB_STATE_DONE {
			return nil
		}
		if err != nil {
			return err
		}
		for _, d := range edits {
			d.change(rec.GetJob(), rec)
			if err := audit.Append(w, e.now(), d.entry); err != nil {
				return err
			}
		}
		return put(w, store.TableJobs, store.JobKey(id), rec)
	})
}
