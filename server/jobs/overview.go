package jobs

import (
	"cmp"
	"context"
	"slices"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
)

// Overview counts what is active on the caller's sites, and the terminals of each such site whose last facts show a fault. It
// reads no stored task. Job by job it walks the open tasks in memory, at some ten nanoseconds each, so that the loop is never held
// for longer than one job takes; a job that nothing of may start costs nothing.
func (e *Engine) Overview(ctx context.Context, p *access.Principal) (*fleetv1.GetOverviewResponse, map[string]uint32, error) {
	o := &overview{seen: sees(p), waits: make(map[fleetv1.WaitReason]uint32), answer: &fleetv1.GetOverviewResponse{Tasks: &fleetv1.JobCounts{}}}
	var active []*job
	var faulty []string
	err := e.do(ctx, func() {
		active = slices.Clone(e.active)
		for id := range e.faulty {
			faulty = append(faulty, id)
		}
		for t := range e.questions {
			if o.seen(t.site) && t.openQuestion(e.now()) != nil {
				o.answer.Questions++
			}
		}
	})
	for _, j := range active {
		if err == nil {
			err = e.do(ctx, func() { o.add(j, e.now()) })
		}
	}
	if err != nil {
		return nil, nil, err
	}
	unhealthy, err := e.siteCounts(ctx, p, faulty)
	return o.done(), unhealthy, err
}

// siteCounts counts terminals by the site that they are at now.
func (e *Engine) siteCounts(ctx context.Context, p *access.Principal, ids []string) (map[string]uint32, error) {
	counts := make(map[string]uint32)
	for _, id := range ids {
		rec, err := e.inv.Terminal(ctx, id)
		if err != nil {
			return nil, err
		}
		gone := rec.GetTerminal().GetState() == fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED
		if site := rec.GetTerminal().GetSite(); !gone && p.May(access.Read, site) {
			counts[site]++
		}
	}
	return counts, nil
}

// overview adds up what is active.
type overview struct {
	seen   scope
	waits  map[fleetv1.WaitReason]uint32
	answer *fleetv1.GetOverviewResponse
}

// add adds an active job. It is called in the engine's loop.
func (o *overview) add(j *job, now time.Time) {
	if j.finished || !onSite(j.rec.GetJob(), o.seen) {
		return
	}
	o.answer.ActiveJobs++
	if j.rec.GetJob().GetPause() != nil {
		o.answer.PausedJobs++
	}
	if j.unapproved(now) {
		o.answer.UnapprovedJobs++
	}
	counts := sumCounts(j.sites, o.seen)
	addCounts(o.answer.Tasks, counts)
	if shut := j.shut(now); shut != byNothing {
		o.waits[shut.reason()] += counts.GetWaiting()
		return
	}
	for _, t := range j.tasks {
		if t.phase != done && !t.running() && o.seen(t.site) {
			o.waits[t.obstacle(now).reason()]++
		}
	}
}

func (o *overview) done() *fleetv1.GetOverviewResponse {
	for reason, n := range o.waits {
		if n > 0 {
			o.answer.Waits = append(o.answer.Waits, &fleetv1.WaitCount{Reason: reason, Tasks: n})
		}
	}
	slices.SortFunc(o.answer.Waits, func(a, b *fleetv1.WaitCount) int {
		return cmp.Or(cmp.Compare(b.GetTasks(), a.GetTasks()), cmp.Compare(a.GetReason(), b.GetReason()))
	})
	return o.answer
}

// reason is the word of the closed set for what keeps a task.
func (o obstacle) reason() fleetv1.WaitReason {
	switch o {
	case byApproval:
		return fleetv1.WaitReason_WAIT_REASON_APPROVAL
	case byPause:
		return fleetv1.WaitReason_WAIT_REASON_PAUSED
	case byNotBefore:
		return fleetv1.WaitReason_WAIT_REASON_NOT_BEFORE
	case byWindow:
		return fleetv1.WaitReason_WAIT_REASON_WINDOW
	case byQuarantine, byFreeze:
		return fleetv1.WaitReason_WAIT_REASON_FROZEN
	case byOffline:
		return fleetv1.WaitReason_WAIT_REASON_OFFLINE
	case byPerson:
		return fleetv1.WaitReason_WAIT_REASON_IN_USE
	case byWave:
		return fleetv1.WaitReason_WAIT_REASON_WAVE
	case byFloor:
		return fleetv1.WaitReason_WAIT_REASON_FLOOR
	case byLock:
		return fleetv1.WaitReason_WAIT_REASON_LOCK
	default:
		return fleetv1.WaitReason_WAIT_REASON_SLOT
	}
}
