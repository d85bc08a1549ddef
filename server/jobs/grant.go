package jobs

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// schedule gives free slots to the tasks that need only that, older jobs first. It goes round until nothing starts: a terminal that
// a later job takes out of use may be what an earlier one's floor waited for.
func (e *Engine) schedule() {
	if e.stopping {
		return
	}
	now := e.now()
	for started := true; started; {
		started = false
		for _, j := range e.active {
			started = e.fill(j, now) || started
		}
	}
}

// fill gives the slots of a job, to its sites in turn, and reports whether it gave any.
func (e *Engine) fill(j *job, now time.Time) (any bool) {
	switch {
	case j.over(now):
		j.dismiss()
		return false
	case j.ready == 0 || j.shut(now) != byNothing:
		return false
	}
	for idle := 0; idle < len(j.queues) && j.full() == byNothing; idle++ {
		q := j.queues[j.turn%len(j.queues)]
		j.turn = (j.turn + 1) % len(j.queues)
		if e.startNext(q, now) {
			idle, any = -1, true
		}
	}
	return any
}

// startNext grants the first task of a queue that nothing keeps, and reports whether there was one.
func (e *Engine) startNext(q *queue, now time.Time) bool {
	if q.shut(now) != byNothing {
		return false
	}
	for len(q.ready) > 0 && q.full() == byNothing {
		t := q.pop()
		switch kept := t.kept(); {
		case kept == byNothing && t.waits():
			e.grant(t)
			return true
		case kept == byFloor && t.waits():
			t.group.park(t)
		case t.group != nil:
			// What was woken for the floor and cannot start, or has ended, leaves its turn to the next.
			t.group.wake()
		}
	}
	return false
}

// grant gives a task a slot. The first permit of a task under a journal is sent only when its mark is on disk.
func (e *Engine) grant(t *task) {
	switch {
	case t.phase == waiting, t.phase == held && (t.journal != t.terminal.journal || t.sequence != t.terminal.sequence):
		t.takeSlot()
		t.change(func() { t.phase, t.journal, t.sequence = granting, t.terminal.journal, t.terminal.sequence })
		e.pending.permits = append(e.pending.permits, t)
	case t.phase == held:
		t.takeSlot()
		t.change(func() { t.phase, t.again = permitted, t.out > 0 })
		e.handOver(t)
	}
}

// granted goes on when the mark of a first permit is on disk, or could not be written.
func (e *Engine) granted(t *task, err error) {
	switch {
	case t.phase != granting:
	case err != nil:
		t.stepBack()
		t.change(func() { t.phase = waiting })
		e.lineUp(t)
	case !e.maySend(t):
		// Marked, but never sent.
		t.stepBack()
		t.change(func() { t.phase, t.permitted = held, e.now() })
		e.lineUp(t)
	default:
		t.change(func() { t.phase, t.permitted = permitted, e.now() })
		e.handOver(t)
	}
}

// maySend looks once more at what may have changed while the mark was being written.
func (e *Engine) maySend(t *task) bool {
	now := e.now()
	return !e.stopping && !t.job.over(now) && t.job.shut(now) == byNothing && t.queue.shut(now) == byNothing &&
		t.terminal.online && t.terminal.quarantine == nil && t.journal == t.terminal.journal && t.sequence == t.terminal.sequence && !e.isRetired(t)
}

// lineUp queues a task that has no permit, unless it ends here.
func (e *Engine) lineUp(t *task) {
	if !e.expireOrCancel(t) {
		t.enqueue()
	}
}

// handOver sends a task together with its permit. It may be sent again: the agent knows the task by its key. When the session
// is being cut, its end is reported and the task is taken up again at the next.
func (e *Engine) handOver(t *task) { e.dispatch(t, permitValidity) }

// dispatch sends a task with a permit for a time; without one (0) it starts nothing. It reports whether it could be sent.
func (e *Engine) dispatch(t *task, permit time.Duration) bool {
	rec := t.job.rec.GetJob()
	dispatch := &agentv1.Dispatch{Task: &agentv1.Task{
		Key: t.key(), Action: rec.GetAction(), Params: rec.GetParams(), DryRun: rec.GetDryRun(), Expires: rec.GetExpires(),
		Requester: rec.GetRequester(), Reason: rec.GetReason(), Epoch: e.epoch(), WaitWhileInUse: t.job.yields(),
		PluginSha256: t.frozenPlugin(), Remedies: t.job.rec.GetRemedies(),
	}}
	if permit > 0 {
		dispatch.PermitValidFor = durationpb.New(permit)
	}
	return e.send(t.terminal, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Dispatch{Dispatch: dispatch}})
}

// yields reports whether a task waits while a person is signed in and active.
func (j *job) yields() bool {
	return j.rec.GetDisruptive() && !j.rec.GetJob().GetDryRun() && j.rec.GetJob().GetInUse() != fleetv1.InUse_IN_USE_PROCEED
}

// permit lets a task that the agent has start.
func (e *Engine) permit(t *task) {
	p := &agentv1.Permit{Key: t.key(), ValidFor: durationpb.New(permitValidity)}
	e.send(t.terminal, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Permit{Permit: p}})
}

// takeBack tells the agent to drop a task that it has not started.
func (e *Engine) takeBack(terminalID string, key *agentv1.TaskKey, reason string) {
	c := &agentv1.Cancel{Key: key, Reason: reason}
	if t := e.terminals[terminalID]; t != nil {
		e.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Cancel{Cancel: c}})
	}
}

// send queues a message on the session that the engine knows of. One that has just taken its place gets nothing before the engine
// was told what its agent holds: a permit counts on the session that it was given for.
func (e *Engine) send(t *terminal, m *agentv1.ConnectResponse) bool {
	return t.online && e.link.Send(t.id, t.session, m)
}

func (t *task) key() *agentv1.TaskKey { return &agentv1.TaskKey{JobId: t.job.id, Attempt: attempt} }
