package jobs

import (
	"context"
	"errors"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// TaskOf returns the task of a job on a terminal, as it is stored. A terminal that has none is refused in the same words whether
// there is such a job or not.
func (e *Engine) TaskOf(ctx context.Context, jobID, terminalID string) (*fleetv1.Task, error) {
	var task *fleetv1.Task
	err := e.st.View(ctx, func(s store.Snapshot) error {
		rec, err := readJob(s, jobID)
		if err != nil {
			return err
		}
		found, err := findTask(s, jobID, terminalID, rec.GetJob().GetCounts().GetTotal())
		task = found.GetTask()
		return err
	})
	var no *refusal.Error
	if errors.As(err, &no) && no.Kind == refusal.NotFound {
		err = errForeign(clip(jobID, maxShown), terminalID)
	}
	return task, err
}
