package jobs

import (
	"context"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/health"
)

// Facts tells what an agent has said of its machine on a session: with its hello, before Connected, and whenever it changes.
func (e *Engine) Facts(ctx context.Context, terminalID string, session uint64, role fleetv1.TerminalRole, facts *agentv1.Facts) error {
	if facts == nil {
		return nil
	}
	faulty := len(health.Faults(role, facts)) > 0
	return e.post(ctx, func() { e.factsTold(terminalID, session, faulty) })
}

func (e *Engine) factsTold(terminalID string, session uint64, faulty bool) {
	term := e.terminal(terminalID)
	if session < term.session {
		return
	}
	if delete(e.faulty, terminalID); faulty {
		e.faulty[terminalID] = struct{}{}
	}
	if term.faulty != faulty {
		term.faulty = faulty
		e.conditionChanged(term)
	}
}
