package runner

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// Dispatch takes a task in: it judges the task, journals it and reports Accepted, or the result that says why it will not
// run. When the dispatch permits the task as well, Accepted is left out: what is reported next of the task implies it. A
// repeated delivery is answered from the journal. An error means that nothing was taken in. A permit or a cancel for the task
// may follow as soon as it has returned.
func (r *Runner) Dispatch(_ context.Context, d *agentv1.Dispatch) error {
	arrived := time.Now()
	t := proto.CloneOf(d.GetTask())
	if IsOwn(t.GetKey()) {
		return fmt.Errorf("task %q: no job of a server is called so", nameOf(t.GetKey()))
	}
	rec, known, err := r.admit(t)
	if err != nil {
		return fmt.Errorf("task %q: %w", nameOf(t.GetKey()), err)
	}
	if known && !proto.Equal(rec.GetTask(), t) {
		r.log.Warn("a known task came again with other content; the first is kept", "task", nameOf(t.GetKey()))
	}
	if d.GetPermitValidFor() != nil && rec.GetState() == agentv1.TaskState_TASK_STATE_ACCEPTED {
		r.permit(t.GetKey(), arrived, d.GetPermitValidFor().AsDuration())
		return nil
	}
	r.answer(rec)
	return nil
}

// admit journals a task, with its result when it may not run, and queues it when it is new and may.
func (r *Runner) admit(t *agentv1.Task) (rec *storagev1.JournalTask, known bool, err error) {
	if err := r.failure(); err != nil {
		return nil, false, err
	}
	refusal, err := r.judgeNew(t)
	if err != nil {
		return nil, false, err
	}
	if refusal != nil {
		return r.journal.Reject(t, time.Now(), refusal)
	}
	rec, known, err = r.journal.Accept(t, time.Now())
	if err == nil && !known {
		r.enqueue(r.newEntry(t))
	}
	return rec, known, err
}

// answer tells the server how far a task is. One that runs is left to report its result.
func (r *Runner) answer(rec *storagev1.JournalTask) {
	switch rec.GetState() {
	case agentv1.TaskState_TASK_STATE_ACCEPTED:
		r.report().Accepted(rec.GetTask().GetKey())
	case agentv1.TaskState_TASK_STATE_FINISHED:
		r.report().Result(&agentv1.Result{Key: rec.GetTask().GetKey(), Result: rec.GetResult()})
	}
}

// maxPermit bounds a permit: one that were good for long would outlive what the server decides meanwhile.
const maxPermit = 5 * time.Minute

// Permit allows a task to start within the permit's time from now on, on the current session alone.
func (r *Runner) Permit(p *agentv1.Permit) {
	r.permit(p.GetKey(), time.Now(), p.GetValidFor().AsDuration())
}

// permit allows a task to start within validFor of the permit's arrival.
func (r *Runner) permit(k *agentv1.TaskKey, arrived time.Time, validFor time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.session {
		return
	}
	for _, e := range r.queue {
		if e.needsPermit && proto.Equal(e.task.GetKey(), k) {
			e.permit = arrived.Add(min(validFor, maxPermit))
			e.blocked = obstacle{}
		}
	}
	r.poke()
}

// Cancel takes a task back. One that has started goes on to its end.
func (r *Runner) Cancel(k *agentv1.TaskKey, reason string) {
	r.mu.Lock()
	i := slices.IndexFunc(r.queue, func(e *entry) bool { return e.needsPermit && proto.Equal(e.task.GetKey(), k) })
	if i < 0 {
		r.mu.Unlock()
		return
	}
	r.queue = slices.Delete(r.queue, i, i+1)
	r.mu.Unlock()
	r.poke()
	if reason == "" {
		reason = "taken back before it started"
	}
	r.close(k, unstarted(actionv1.TaskStatus_TASK_STATUS_CANCELLED, reason, ""))
}

// Hold takes a permit back. A task that waits stays accepted, and the server is told that it is held; one that was taken from
// the queue to be started, or that has started, goes on, and what is reported of it next says so.
func (r *Runner) Hold(k *agentv1.TaskKey, reason string) {
	if !r.withhold(k) {
		return
	}
	r.log.Info("a permit was taken back", "task", nameOf(k), "reason", reason)
	r.report().PermitRequest(k, agentv1.HoldReason_HOLD_REASON_HELD, "")
}

// withhold voids the permit of a task that waits, and says whether there is such a task.
func (r *Runner) withhold(k *agentv1.TaskKey) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.queue {
		if e.needsPermit && proto.Equal(e.task.GetKey(), k) {
			e.permit, e.blocked = time.Time{}, obstacle{}
			return true
		}
	}
	return false
}
