package jobs

import (
	"context"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// An agent whose journal was lost or rolled back does not know what it has done. Until a person has looked at the terminal nothing is
// started there, not even what only reads: its waiting tasks wait, and what it was permitted is UNKNOWN.

// found is how the journal of an agent was found at its hello.
type found struct {
	// sequence is 0 when the agent does not count.
	sequence   uint64
	quarantine *fleetv1.Quarantine
}

// Journal tells, before the session may be sent anything, how the journal of its agent was found: its sequence, 0 when the agent does not
// count, and whether the terminal is in quarantine. It counts from Connected on; a quarantine counts when Journal returns.
func (e *Engine) Journal(ctx context.Context, terminalID string, sequence uint64, q *fleetv1.Quarantine) error {
	note := func() {
		term := e.terminal(terminalID)
		term.found = found{sequence, q}
		if q != nil {
			term.quarantine = q
		}
	}
	if q == nil {
		return e.post(ctx, note)
	}
	return e.do(ctx, note)
}

// inspect takes in how the agent's journal was found, and looks for tasks that an intact one would know.
func (e *Engine) inspect(term *terminal, journalID string, states map[string]agentv1.TaskState) {
	// What the engine has noticed itself may not have been on disk yet at the hello.
	if !term.distrusted || term.journal != journalID {
		term.quarantine, term.distrusted = term.found.quarantine, false
	}
	term.journal, term.sequence = journalID, term.found.sequence
	for _, t := range term.open {
		if t.forgotten(states[t.job.id]) {
			e.distrust(term)
		}
	}
}

// Released tells that a terminal's quarantine has ended.
func (e *Engine) Released(ctx context.Context, terminalID string) error {
	return e.do(context.WithoutCancel(ctx), func() { e.released(terminalID) })
}

func (e *Engine) released(terminalID string) {
	term := e.terminals[terminalID]
	if term == nil {
		return
	}
	term.quarantine, term.found.quarantine, term.distrusted = nil, nil, false
	for _, t := range term.open {
		t.change(func() {})
		t.enqueue()
	}
	e.forget(term)
}

// distrust puts a terminal into quarantine whose agent does not know a task that it must know. Nothing is started there from now on; that it
// is in quarantine is stored with the next batch. An agent that does not count is of the release before: of that only the task is lost.
func (e *Engine) distrust(term *terminal) {
	if term.sequence == 0 || term.quarantine != nil {
		return
	}
	term.distrusted = true
	term.quarantine = &fleetv1.Quarantine{Time: stamp(e.now()), Reason: "its agent's journal was rolled back"}
	e.pending.distrusted = append(e.pending.distrusted, term)
}

// forgotten reports whether the agent's journal is an older copy of the one that the task was permitted under.
func (t *task) forgotten(state agentv1.TaskState) bool {
	term := t.terminal
	switch {
	case t.phase != permitted || t.journal != term.journal || term.sequence == 0:
		return false
	case term.sequence <= t.sequence:
		// Each session begins with a write to the journal.
		return true
	}
	// A task is told as started after it was journalled. Of a job from a backup it may have ended since, and need not be open any more.
	return !t.started.IsZero() && !t.job.rec.GetRestored() && (state == agentv1.TaskState_TASK_STATE_UNSPECIFIED || state == agentv1.TaskState_TASK_STATE_ACCEPTED)
}

// giveUp ends what the agent of a terminal in quarantine may have started without knowing it, and takes back what it only has.
func (e *Engine) giveUp(t *task, state agentv1.TaskState) {
	e.settle(t, actionv1.TaskStatus_TASK_STATUS_UNKNOWN,
		t.terminal.quarantine.GetReason()+", so nobody knows whether this was started", "look at the terminal, then ask again")
	if state == agentv1.TaskState_TASK_STATE_ACCEPTED {
		e.takeBack(t.terminal.id, t.key(), "the job is over")
	}
}

func (t *terminal) quarantineWait() *fleetv1.Wait {
	return waitFor(fleetv1.WaitReason_WAIT_REASON_FROZEN, "quarantined since %s: %s; look at the terminal, then `fleetctl terminal release %s`",
		t.quarantine.GetTime().AsTime().Format(time.RFC3339), t.quarantine.GetReason(), t.id)
}

// writeDistrusted stores that terminals are in quarantine, and returns those of which it could not.
func (e *Engine) writeDistrusted(ctx context.Context, terms []*terminal) (unwritten []*terminal, failed error) {
	for _, term := range terms {
		if err := e.inv.JournalRolledBack(ctx, term.id); err != nil {
			unwritten, failed = append(unwritten, term), err
		}
	}
	return unwritten, failed
}
