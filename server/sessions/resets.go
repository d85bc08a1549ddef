package sessions

import (
	"context"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Resetting knows which breakers agents are still to be told to close. Orders that know it say so by having this method.
type Resetting interface {
	// Resets returns those of a terminal; each is told until its agent has answered with the breaker's new state.
	Resets(ctx context.Context, terminalID string) ([]*agentv1.BreakerReset, error)
}

// sendResets tells a session's agent which breakers people want closed. An agent that has closed one already answers again.
func (v *Service) sendResets(ctx context.Context, s *session) {
	known, ok := v.Orders.(Resetting)
	if !ok {
		return
	}
	waiting, err := known.Resets(ctx, s.terminalID)
	if err != nil {
		if ctx.Err() == nil {
			v.Log.Warn("an agent was not told which breakers to close; it is when orders change, or when it comes back", "terminal", s.terminalID, "error", err)
		}
		return
	}
	for _, r := range waiting {
		s.send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_BreakerReset{BreakerReset: r}})
	}
}
