package jobs

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// byRollout stands for an operator's name where a limit has paused or stopped a job.
const byRollout = "rollout"

// limitReached stands for the words of a limit, which name terminals, where it may be read by those who may not know of them.
const limitReached = "a limit of failures was reached"

// maxNamed is how many terminals a reason names.
const maxNamed = 5

// judge pauses or stops a job whose failures have reached a limit, at once and for good: it is written as soon as the store
// takes it, and found again from the tasks if the server is killed before.
func (e *Engine) judge(j *job) {
	if j.open == 0 || j.rec.GetJob().GetPause() != nil || j.over(e.now()) || !j.plan.AtLimit(j.wave, j.errors(), j.row) {
		return
	}
	switch j.plan.OnLimit() {
	case fleetv1.LimitAction_LIMIT_ACTION_CONTINUE:
	case fleetv1.LimitAction_LIMIT_ACTION_STOP:
		e.stopByRollout(j)
	default:
		e.pauseByRollout(j)
	}
}

func (e *Engine) pauseByRollout(j *job) {
	reason := j.limitWords()
	pause := &fleetv1.Pause{Time: timestamppb.New(e.now()), By: byRollout, Reason: reason}
	e.edit(j, jobEntry(identity.Name{}, "job.pause", j.rec, reason), func(job *fleetv1.Job, _ *storagev1.JobRecord) { job.Pause = pause })
	e.paused(j)
}

func (e *Engine) stopByRollout(j *job) {
	reason := j.limitWords()
	e.edit(j, jobEntry(identity.Name{}, "job.stop", j.rec, reason), func(job *fleetv1.Job, _ *storagev1.JobRecord) {
		job.Cancelled, job.CancelledBy, job.CancelReason = true, byRollout, reason
	})
	e.cancelled(j)
}

// limitWords says which limit was reached, and names who failed.
func (j *job) limitWords() string {
	var parts []string
	if failed := j.failed[j.forgiven:]; len(failed) > 0 {
		parts = append(parts, fmt.Sprintf("%d of %s of wave %d failed: %s", len(failed), countOf(j.plan.Reaches(j.wave), "terminal"), j.wave, j.names(failed)))
	}
	if sick := j.soak.ill(); len(sick) > 0 {
		indexes := make([]uint32, len(sick))
		for i, t := range sick {
			indexes[i] = t.index
		}
		parts = append(parts, fmt.Sprintf("offline or unhealthy after they were served: %s", j.names(indexes)))
	}
	limit := fmt.Sprintf("the limit is %d", j.plan.MaxErrors(j.wave))
	if most := j.plan.MaxErrors(j.wave); most == 0 || j.errors() < most {
		limit = fmt.Sprintf("%d in a row are the limit", j.plan.MaxConsecutive())
	}
	return strings.Join(parts, "; ") + " (" + limit + ")"
}

// names are the names of the last of some tasks' terminals.
func (j *job) names(indexes []uint32) string {
	var names []string
	for _, i := range indexes[max(0, len(indexes)-maxNamed):] {
		names = append(names, j.tasks[i].name)
	}
	words := strings.Join(names, ", ")
	if more := len(indexes) - len(names); more > 0 {
		words += fmt.Sprintf(" and %d more", more)
	}
	return words
}
