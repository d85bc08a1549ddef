package jobs

import (
	"context"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// Retire ends what a terminal still had to do that was decommissioned: nothing will come of it any more. It may be repeated,
// and is made good at the next start if the server is killed before.
func (e *Engine) Retire(ctx context.Context, terminalID string) error {
	return e.do(context.WithoutCancel(ctx), func() { e.retire(terminalID) })
}

func (e *Engine) retire(terminalID string) {
	e.retired[terminalID] = struct{}{}
	if term := e.terminals[terminalID]; term != nil {
		term.quarantine = nil
		for _, t := range term.open {
			e.endRetired(t)
		}
		e.leaveSoaks(term)
	}
}

// retireAbsent does it for terminals that were decommissioned just before the last engine was killed, and learns which of them are in
// quarantine.
func (e *Engine) retireAbsent(ctx context.Context) error {
	for id := range e.terminals {
		rec, err := e.inv.Terminal(ctx, id)
		if err != nil {
			return err
		}
		e.terminal(id).quarantine = rec.GetTerminal().GetQuarantine()
		if rec.GetTerminal().GetState() == fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED {
			e.retire(id)
		}
	}
	return nil
}

func (e *Engine) isRetired(t *task) bool {
	_, retired := e.retired[t.terminal.id]
	return retired
}

// endRetired ends a task of a retired terminal. One whose mark is being written is ended when that is on disk.
func (e *Engine) endRetired(t *task) {
	if t.phase == permitted {
		e.settle(t, actionv1.TaskStatus_TASK_STATUS_UNKNOWN,
			"the terminal was decommissioned when this may have been running", "look at the machine, if it is still there")
		return
	}
	e.expireOrCancel(t)
}
