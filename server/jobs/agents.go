package jobs

import (
	"context"
	"fmt"
	"slices"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Connected tells that a terminal has a session, which journal its agent has and what that holds. Session numbers grow: of
// two sessions of one terminal the greater number is the one that counts.
func (e *Engine) Connected(ctx context.Context, terminalID string, session uint64, open []*agentv1.OpenTask, journalID string) error {
	return e.post(ctx, func() { e.connected(terminalID, session, open, journalID) })
}

// Disconnected tells that a session has ended.
func (e *Engine) Disconnected(ctx context.Context, terminalID string, session uint64) error {
	return e.post(ctx, func() { e.disconnected(terminalID, session) })
}

// PermitRequested tells that a permit ran out before the task could start.
func (e *Engine) PermitRequested(ctx context.Context, terminalID string, r *agentv1.PermitRequest) error {
	return e.post(ctx, func() { e.permitRequested(terminalID, r) })
}

// Blocked tells why a task has not started on its permit, which it may still do.
func (e *Engine) Blocked(ctx context.Context, terminalID string, b *agentv1.Blocked) error {
	return e.post(ctx, func() { e.blocked(terminalID, b) })
}

// Started tells that a task has started.
func (e *Engine) Started(ctx context.Context, terminalID string, s *agentv1.Started) error {
	return e.post(ctx, func() {
		if t := e.find(terminalID, s.GetKey().GetJobId(), s.GetKey().GetAttempt()); t != nil {
			e.markStarted(t)
		}
	})
}

// Progress tells how far a task is. It is shown to watchers and not stored.
func (e *Engine) Progress(ctx context.Context, terminalID string, p *agentv1.TaskProgress) error {
	return e.post(ctx, func() {
		if t := e.find(terminalID, p.GetKey().GetJobId(), p.GetKey().GetAttempt()); t != nil && t.phase == permitted {
			t.change(func() { t.progress = progressText(p) })
		}
	})
}

// Result hands a result over. stored is called from the engine's loop and must not block: with nil when the result, or
// another one that is final, is on disk and may be acknowledged; with a refusal when it belongs to no task of this terminal.
// While the store fails the result is kept and tried again; it is not called when the engine stops before.
func (e *Engine) Result(ctx context.Context, terminalID string, r *agentv1.Result, stored func(error)) error {
	return e.post(ctx, func() { e.resultArrived(terminalID, r, stored) })
}

// maxProgress bounds what is kept of a progress message, in bytes.
const maxProgress = 200

func progressText(p *agentv1.TaskProgress) string {
	text := p.GetPhase()
	if p.GetMessage() != "" {
		text = fmt.Sprintf("%s: %s", p.GetPhase(), p.GetMessage())
	}
	return clip(text, maxProgress)
}

func (e *Engine) connected(terminalID string, session uint64, open []*agentv1.OpenTask, journalID string) {
	term := e.terminal(terminalID)
	if session < term.session {
		return
	}
	term.session, term.online = session, true
	e.conditionChanged(term)
	journal := make(map[string]agentv1.TaskState, len(open))
	for _, o := range open {
		if o.GetKey().GetAttempt() == attempt {
			journal[o.GetKey().GetJobId()] = o.GetState()
		}
	}
	e.inspect(term, journalID, journal)
	for _, t := range slices.Clone(term.open) {
		t.holds = holds{}
		e.reconcile(t, journal[t.job.id])
		delete(journal, t.job.id)
	}
	for id, state := range journal {
		if state == agentv1.TaskState_TASK_STATE_ACCEPTED {
			e.takeBack(terminalID, &agentv1.TaskKey{JobId: id, Attempt: attempt}, "the job is over")
		}
	}
}

// reconcile compares what the server knows of a task with what the agent's journal says at the start of a session.
func (e *Engine) reconcile(t *task, state agentv1.TaskState) {
	switch {
	case t.phase == granting || t.phase == closing || t.phase == done:
		t.change(func() {})
	case state == agentv1.TaskState_TASK_STATE_STARTED || state == agentv1.TaskState_TASK_STATE_FINISHED:
		e.markStarted(t)
	case t.phase == permitted && t.terminal.quarantine == nil && t.job.rec.GetRestored() && (t.journal == "" || t.journal == t.terminal.journal):
		e.inquire(t)
	case t.phase == permitted && t.journal != t.terminal.journal:
		e.settle(t, actionv1.TaskStatus_TASK_STATUS_UNKNOWN,
			"the agent has another journal than the one it was given this under, so nobody knows whether it was started", "look at the terminal, then ask again")
	case t.phase == permitted && !t.started.IsZero():
		// It was told as started from the same journal, which is on a disk before it is told of: that is an older copy of it.
		e.settle(t, actionv1.TaskStatus_TASK_STATUS_UNKNOWN,
			"its agent had started it and its journal no longer knows: the journal was rolled back", "look at the terminal, then ask again")
	case t.phase == permitted && t.terminal.quarantine != nil:
		e.giveUp(t, state)
	default:
		// Not started, and the permit, if there was one, ended with its session.
		t.stepBack()
		t.change(func() {
			if t.phase == permitted {
				t.phase = held
			}
		})
		if e.expireOrCancel(t) {
			e.takeBack(t.terminal.id, t.key(), "the job is over")
			return
		}
		t.enqueue()
	}
}

func (e *Engine) disconnected(terminalID string, session uint64) {
	term := e.terminals[terminalID]
	if term == nil || session != term.session {
		return
	}
	term.online, term.seen, term.lostAt = false, true, e.now()
	e.conditionChanged(term)
	for _, t := range term.open {
		t.change(func() {})
		if t.phase == permitted && !e.now().Before(t.job.expires()) {
			t.job.lookNoLaterThan(e.now().Add(t.job.grace()))
		}
	}
	e.forget(term)
}

func (e *Engine) markStarted(t *task) {
	if t.phase == closing || t.phase == done {
		return
	}
	t.takeSlot()
	t.change(func() {
		t.phase, t.lock, t.inUse = permitted, "", false
		if t.started.IsZero() {
			t.started = e.now()
			if t.job.rec.GetChanges() {
				e.pending.starts = append(e.pending.starts, t)
			}
		}
	})
}

// permitRequested gives another permit, unless the job or the site is shut or others wait for the slot, who then go first.
func (e *Engine) permitRequested(terminalID string, r *agentv1.PermitRequest) {
	t := e.find(terminalID, r.GetKey().GetJobId(), r.GetKey().GetAttempt())
	if t == nil || t.phase != permitted || r.GetReason() == agentv1.HoldReason_HOLD_REASON_HELD && !t.answered() {
		return
	}
	if e.mayGoOn(t, r.GetReason()) {
		t.change(func() { t.waitsFor(r.GetReason(), r.GetWaitedFor()); t.again = t.out > 0 })
		e.permit(t)
		return
	}
	t.stepBack()
	t.change(func() { t.phase = held; t.waitsFor(r.GetReason(), r.GetWaitedFor()) })
	if e.expireOrCancel(t) {
		e.takeBack(terminalID, t.key(), "the job is over")
		return
	}
	t.enqueue()
}

// blocked shows why a permitted task waits. It keeps its slot: it may start at any moment.
func (e *Engine) blocked(terminalID string, b *agentv1.Blocked) {
	t := e.find(terminalID, b.GetKey().GetJobId(), b.GetKey().GetAttempt())
	if t != nil && t.phase == permitted && t.started.IsZero() {
		t.change(func() { t.waitsFor(b.GetReason(), b.GetWaitedFor()) })
	}
}

// mayGoOn reports whether a task that asks again keeps its slot.
func (e *Engine) mayGoOn(t *task, why agentv1.HoldReason) bool {
	now := e.now()
	return why != agentv1.HoldReason_HOLD_REASON_HELD && t.terminal.quarantine == nil && !t.job.over(now) && t.job.shut(now) == byNothing &&
		t.queue.shut(now) == byNothing && !t.othersWait(now)
}

// waitsFor notes what the agent says that it waits for.
func (t *task) waitsFor(reason agentv1.HoldReason, what string) {
	t.lock = clip(what, maxProgress)
	t.inUse = reason == agentv1.HoldReason_HOLD_REASON_IN_USE
	if t.inUse && t.lock == "" {
		t.lock = "a person is signed in and active"
	}
}

// clip cuts text at a whole rune.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && text[most]&0xC0 == 0x80 {
		most--
	}
	return text[:most]
}
