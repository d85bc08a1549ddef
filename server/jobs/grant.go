package jobs

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// schedule gives free slots to the tasks that need only that, older jobs first.
func (e *Engine) schedule() {
	if e.stopping {
		return
	}
	for _, j := range e.active {
		e.fill(j)
	}
}

func (e *Engine) fill(j *job) {
	if j.over(e.now()) {
		e.dismiss(j)
		return
	}
	if j.shut(e.now()) != byNothing {
		return
	}
	for len(j.ready) > 0 && j.full() == byNothing {
		t := j.ready[0]
		j.ready[0] = nil
		j.ready = j.ready[1:]
		t.queued = false
		if t.kept() == byNothing {
			e.grant(t)
		}
	}
}

// dismiss empties the ready queue of a job of which nothing may start any more.
func (e *Engine) dismiss(j *job) {
	for _, t := range j.ready {
		t.queued = false
	}
	j.ready = nil
}

// grant gives a task a slot. The first permit of a task under a journal is sent only when its mark is on disk.
func (e *Engine) grant(t *task) {
	switch {
	case t.phase == waiting, t.phase == held && t.journal != t.terminal.journal:
		t.takeSlot()
		t.change(func() { t.phase, t.journal = granting, t.terminal.journal })
		e.pending.permits = append(e.pending.permits, t)
	case t.phase == held:
		t.takeSlot()
		t.change(func() { t.phase = permitted })
		e.handOver(t)
	}
}

// granted goes on when the mark of a first permit is on disk, or could not be written.
func (e *Engine) granted(t *task, err error) {
	switch {
	case t.phase != granting:
	case err != nil:
		t.dropSlot()
		t.change(func() { t.phase = waiting })
		if !e.expireOrCancel(t) {
			t.enqueue()
		}
	case t.job.over(e.now()) || t.job.shut(e.now()) != byNothing || !t.terminal.online || e.stopping || t.journal != t.terminal.journal || e.isRetired(t):
		// Marked, but never sent.
		t.dropSlot()
		t.change(func() { t.phase, t.permitted = held, e.now() })
		if !e.expireOrCancel(t) {
			t.enqueue()
		}
	default:
		t.change(func() { t.phase, t.permitted = permitted, e.now() })
		e.handOver(t)
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
		Requester: rec.GetRequester(), Reason: rec.GetReason(), Epoch: e.epoch(),
	}}
	if permit > 0 {
		dispatch.PermitValidFor = durationpb.New(permit)
	}
	return e.link.Send(t.terminal.id, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Dispatch{Dispatch: dispatch}})
}

// permit lets a task that the agent has start.
func (e *Engine) permit(t *task) {
	p := &agentv1.Permit{Key: t.key(), ValidFor: durationpb.New(permitValidity)}
	e.link.Send(t.terminal.id, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Permit{Permit: p}})
}

// takeBack tells the agent to drop a task that it has not started.
func (e *Engine) takeBack(terminalID string, key *agentv1.TaskKey, reason string) {
	c := &agentv1.Cancel{Key: key, Reason: reason}
	e.link.Send(terminalID, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Cancel{Cancel: c}})
}

func (t *task) key() *agentv1.TaskKey { return &agentv1.TaskKey{JobId: t.job.id, Attempt: attempt} }
