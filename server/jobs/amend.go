package jobs

import (
	"context"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/store"
)

// amendment is a change of a job's record. It is made to the record in the store, with its audit record, and then in the same
// way to the engine's own, which may be ahead of the store: so it touches nothing but what it is about, and never puts one
// record in the place of the other.
type amendment struct {
	change func(*fleetv1.Job, *storagev1.JobRecord)
	entry  audit.Entry
}

// amend changes a job by an operator's word. decide looks at the stored record, within the update, and returns nil when there is
// nothing to change; then nothing is written. The engine's loop calls after when the job is active and was changed.
func (e *Engine) amend(ctx context.Context, id string, decide func(*storagev1.JobRecord) (*amendment, error), after func(*job)) error {
	var made *amendment
	err := e.st.Update(ctx, func(w store.Writer) error {
		made = nil
		rec, err := readJob(w, id)
		if err != nil {
			return err
		}
		decided, err := decide(rec)
		if err != nil || decided == nil {
			return err
		}
		decided.change(rec.GetJob(), rec)
		if err := put(w, store.TableJobs, store.JobKey(id), rec); err != nil {
			return err
		}
		made = decided
		return audit.Append(w, e.now(), made.entry)
	})
	if err != nil || made == nil {
		return err
	}
	return e.do(context.WithoutCancel(ctx), func() { e.amended(id, made, after) })
}

// amended makes the change to an active job.
func (e *Engine) amended(id string, made *amendment, after func(*job)) {
	j := e.byID[id]
	if j == nil {
		return
	}
	made.change(j.rec.GetJob(), j.rec)
	j.changedItself()
	after(j)
}

func mayActOnAll(p *access.Principal, job *fleetv1.Job) error {
	return access.CheckSites(p, access.Act, access.Every, access.Object{Kind: access.Job, Name: job.GetId(), Field: "id"}, job.GetSites())
}
