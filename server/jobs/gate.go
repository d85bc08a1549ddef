package jobs

import (
	"cmp"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/calendar"
)

// obstacle is what keeps a task from starting. Nothing starts but through the gates below: the scheduler asks them whether a
// task may start, and wait says the first that keeps it to people.
type obstacle uint8

const (
	byNothing obstacle = iota
	// What keeps every task of a job.
	byApproval
	byPause
	byNotBefore
	// What keeps every task at a site.
	byFreeze
	byWindow
	// What keeps one task.
	byQuarantine
	byOffline
	byLock
	byPerson
	byHandover
	// What keeps those for whom there is no room.
	byWave
	bySlots
	bySiteSlots
	byTerminal
	byFloor
)

// shut is what keeps every task of the job, also one that was granted a permit and has not started.
func (j *job) shut(now time.Time) obstacle {
	switch {
	case j.unapproved(now):
		return byApproval
	case j.rec.GetJob().GetPause() != nil:
		return byPause
	case now.Before(j.notBefore()):
		return byNotBefore
	}
	return byNothing
}

// full is whether there is room in the job for one more.
func (j *job) full() obstacle {
	switch {
	case j.waveFull():
		return byWave
	case j.plan.MaxConcurrent > 0 && j.slots >= j.plan.MaxConcurrent:
		return bySlots
	}
	return byNothing
}

// kept is what keeps this task where its job and its site keep none.
func (t *task) kept() obstacle {
	switch {
	case t.terminal.quarantine != nil:
		return byQuarantine
	case !t.terminal.online:
		return byOffline
	case t.terminal.slots >= maxPerTerminal:
		return byTerminal
	case !t.group.allows(t.terminal):
		return byFloor
	}
	return byNothing
}

// obstacle is the first thing that keeps a task that is not running.
func (t *task) obstacle(now time.Time) obstacle {
	if shut := cmp.Or(t.job.shut(now), t.queue.shut(now)); shut != byNothing {
		return shut
	}
	switch {
	case t.terminal.quarantine != nil:
		return byQuarantine
	case !t.terminal.online:
		return byOffline
	case t.inUse:
		return byPerson
	case t.lock != "":
		return byLock
	case t.slot:
		return byHandover
	case t.job.full() != byNothing:
		return t.job.full()
	case t.queue.full() != byNothing:
		return t.queue.full()
	}
	return t.kept()
}

// wait says why a task has not started, what blocks it, and when it is looked at next.
func (t *task) wait(now time.Time) *fleetv1.Wait {
	switch o := t.obstacle(now); o {
	case byApproval:
		return t.job.approvalWait(now)
	case byPause:
		return pausedWait(t.job.rec.GetJob().GetPause())
	case byNotBefore:
		return notBeforeWait(t.job.notBefore())
	case byFreeze:
		return frozenWait(t.queue.site.frozen)
	case byWindow:
		return windowWait(t.queue.site.name, t.queue.site.at(now))
	case byQuarantine:
		return t.terminal.quarantineWait()
	case byOffline:
		return t.terminal.offlineWait()
	case byPerson:
		return waitFor(fleetv1.WaitReason_WAIT_REASON_IN_USE, "%s", t.lock)
	case byLock:
		return waitFor(fleetv1.WaitReason_WAIT_REASON_LOCK, "%s", t.lock)
	case byWave:
		return t.job.waveWait()
	case byFloor:
		return waitFor(fleetv1.WaitReason_WAIT_REASON_FLOOR, "%s", t.group.words())
	default:
		return waitFor(fleetv1.WaitReason_WAIT_REASON_SLOT, "%s", t.slotWords(o))
	}
}

// slotWords says for which slot a task waits.
func (t *task) slotWords(o obstacle) string {
	switch o {
	case bySlots:
		return fmt.Sprintf("%d of %d slots are in use", t.job.slots, t.job.plan.MaxConcurrent)
	case bySiteSlots:
		return fmt.Sprintf("%d of %d slots at site %s are in use", t.queue.slots, t.queue.most, t.queue.site.name)
	case byTerminal:
		return fmt.Sprintf("%d tasks are on this terminal already", t.terminal.slots)
	default:
		return "it is being handed to the agent"
	}
}

func waitFor(reason fleetv1.WaitReason, format string, args ...any) *fleetv1.Wait {
	return &fleetv1.Wait{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// waitUntil is a wait that ends by time.
func waitUntil(at time.Time, reason fleetv1.WaitReason, format string, args ...any) *fleetv1.Wait {
	w := waitFor(reason, format, args...)
	if !at.IsZero() {
		w.NextLook = timestamppb.New(at)
	}
	return w
}

func pausedWait(p *fleetv1.Pause) *fleetv1.Wait {
	words := "paused by " + p.GetBy()
	switch {
	case p.GetBy() == byRollout:
		words += ": " + limitReached
	case p.GetReason() != "":
		words += ": " + p.GetReason()
	}
	return waitFor(fleetv1.WaitReason_WAIT_REASON_PAUSED, "%s", words)
}

func notBeforeWait(at time.Time) *fleetv1.Wait {
	return waitUntil(at, fleetv1.WaitReason_WAIT_REASON_NOT_BEFORE, "not before %s", at.UTC().Format(time.RFC3339))
}

func windowWait(site string, o calendar.Opening) *fleetv1.Wait {
	words := fmt.Sprintf("site %s is closed: %s", site, o.Blocker)
	if !o.Until.IsZero() {
		words += ", until " + o.Until.UTC().Format(time.RFC3339)
	}
	return waitUntil(o.Until, fleetv1.WaitReason_WAIT_REASON_WINDOW, "%s", words)
}

func (s *spread) waveWait() *fleetv1.Wait {
	var until time.Time
	if s.soak != nil {
		until = s.soak.until
	}
	return waitUntil(until, fleetv1.WaitReason_WAIT_REASON_WAVE, "%s", s.waveWords())
}

func (t *terminal) offlineWait() *fleetv1.Wait {
	if !t.seen {
		return waitFor(fleetv1.WaitReason_WAIT_REASON_OFFLINE, "")
	}
	return waitFor(fleetv1.WaitReason_WAIT_REASON_OFFLINE, "%s", lastSeen(t.lostAt))
}
