package jobs

import (
	"fmt"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// silentGraces is how many graces a connected agent may keep quiet about a task before it is called UNKNOWN, so that every
// job ends.
const silentGraces = 3

// longestSleep is how long the engine may not look at the wall clock, which may be set at any time.
const longestSleep = time.Minute

// lookAtDue looks at the jobs that are due.
func (e *Engine) lookAtDue() {
	now := e.now()
	e.lookAtSites(now)
	for _, j := range e.active {
		if !j.lookAt.IsZero() && !now.Before(j.lookAt) {
			e.look(j, now)
		}
	}
}

// untilNextLook is how long the loop may sleep.
func (e *Engine) untilNextLook() time.Duration {
	if len(e.active) == 0 && e.pending.empty() {
		return time.Hour
	}
	next := longestSleep
	now := e.now()
	if turn := e.nextTurn(); !turn.IsZero() {
		next = min(next, turn.Sub(now))
	}
	for _, j := range e.active {
		if !j.lookAt.IsZero() {
			next = min(next, j.lookAt.Sub(now))
		}
	}
	if !e.pending.empty() && !e.inFlight {
		next = min(next, e.retryAt.Sub(now))
	}
	return max(next, time.Millisecond)
}

// look ends what has waited too long and works out when to look again.
func (e *Engine) look(j *job, now time.Time) {
	j.lookAt = time.Time{}
	if now.Before(j.expires()) && !withdrawn(j.rec.GetJob()) {
		j.lookAt = j.expires()
		e.lookAtBeginning(j, now)
		e.lookAtSoak(j, now)
		e.lookAtApprovals(j, now)
		return
	}
	for _, t := range j.tasks {
		if t.phase == permitted {
			e.lookAtSilent(t, now)
			continue
		}
		wasHeld := t.phase == held
		if e.expireOrCancel(t) && wasHeld {
			e.takeBack(t.terminal.id, t.key(), "the job has expired")
		}
	}
}

// lookAtBeginning tells watchers when the time has come before which nothing starts: they are shown another reason then.
func (e *Engine) lookAtBeginning(j *job, now time.Time) {
	early := now.Before(j.notBefore())
	if early {
		j.lookNoLaterThan(j.notBefore())
	}
	if j.early && !early {
		j.changedThroughout()
	}
	j.early = early
}

// lookAtSilent gives up a task that may have run and of which nothing more is to be expected.
func (e *Engine) lookAtSilent(t *task, now time.Time) {
	due := t.job.expires().Add(silentGraces * t.job.grace())
	reason := "its agent is connected and has not said what became of it"
	if !t.terminal.online {
		since := t.job.expires()
		if t.terminal.lostAt.After(since) {
			since = t.terminal.lostAt
		}
		due = since.Add(t.job.grace())
		reason = "connection lost while it may have been running; its result has not come"
	}
	if now.Before(due) {
		t.job.lookNoLaterThan(due)
		return
	}
	e.settle(t, actionv1.TaskStatus_TASK_STATUS_UNKNOWN, reason,
		"look at the terminal; when its agent is back, its own result takes the place of this one")
}

// expireOrCancel ends a task that has not started and holds no valid permit, when its job is over or its terminal retired.
func (e *Engine) expireOrCancel(t *task) bool {
	if !t.waits() {
		return false
	}
	rec := t.job.rec.GetJob()
	switch {
	case withdrawn(rec):
		e.settle(t, actionv1.TaskStatus_TASK_STATUS_CANCELLED, cancelReason(rec), "")
	case !e.now().Before(t.job.expires()):
		e.settle(t, actionv1.TaskStatus_TASK_STATUS_EXPIRED, expiryReason(t, e.now()), "ask again, with a longer time if the terminal is often away")
	case t.changedPlugin(e.now()):
		reason, next := t.pluginRefusal()
		e.settle(t, actionv1.TaskStatus_TASK_STATUS_REFUSED, reason, next)
	case e.isRetired(t):
		e.settle(t, actionv1.TaskStatus_TASK_STATUS_CANCELLED, "the terminal was decommissioned", "ask again without it")
	default:
		return false
	}
	return true
}

// expiryReason says what a task waited for.
func expiryReason(t *task, now time.Time) string {
	switch w := t.wait(now); w.GetReason() {
	case fleetv1.WaitReason_WAIT_REASON_OFFLINE:
		return "the terminal was offline until the job expired"
	case fleetv1.WaitReason_WAIT_REASON_LOCK:
		return fmt.Sprintf("it waited for %s until the job expired", w.GetDetail())
	case fleetv1.WaitReason_WAIT_REASON_SLOT:
		return "no slot was free until the job expired"
	default:
		return fmt.Sprintf("it waited until the job expired: %s", w.GetDetail())
	}
}
