package jobs

import (
	"context"
	"maps"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// Running returns the parameters of a task that runs on a terminal: it was permitted, and has no result yet. Any other is refused, in the
// same words whether there is such a job or not.
func (e *Engine) Running(ctx context.Context, terminalID string, key *agentv1.TaskKey) (params map[string]string, err error) {
	running := false
	err = e.do(ctx, func() {
		if t := e.find(terminalID, key.GetJobId(), key.GetAttempt()); t != nil && t.phase == permitted {
			running, params = true, maps.Clone(t.job.rec.GetJob().GetParams())
		}
	})
	switch {
	case err != nil:
		return nil, err
	case !running:
		return nil, refusal.New(refusal.Denied, "NOT_RUNNING", "job %q: does not run on terminal %q", clip(key.GetJobId(), maxShown), terminalID)
	}
	return params, nil
}
