package sessions

import (
	"context"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/orders"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// ordersPause is how long changes of orders are gathered before agents are sent others: a pack or a policy is often followed by another.
const ordersPause = time.Second

// Orders are what agents are to look for and may do by themselves.
type Orders interface {
	// For returns a terminal's, with their version, nil for none. It is asked at each session and for each agent after each change, so
	// what agents have in common is to be made once. The answer is not changed.
	For(ctx context.Context, terminal *storagev1.TerminalRecord) (*agentv1.Orders, error)
	// Changed returns a channel that is closed when any terminal's may be others than at the time of this call.
	Changed() <-chan struct{}
}

// Run sends agents other orders when there are others, until ctx ends.
func (v *Service) Run(ctx context.Context) {
	if v.Orders == nil {
		return
	}
	for ctx.Err() == nil {
		changed := v.Orders.Changed()
		for _, s := range v.Registry.all() {
			if ctx.Err() != nil {
				return
			}
			v.sendOrders(ctx, s)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(ordersPause):
		case <-ctx.Done():
		}
	}
}

// beginOrders sends the first orders of a session. An agent that has them already is told only that: a fleet that comes back together need
// not be sent all of it again. One of the release before takes none.
func (v *Service) beginOrders(ctx context.Context, s *session, h *agentv1.Hello, terminal *storagev1.TerminalRecord) {
	if v.Orders == nil || h.GetOrdersVersion() == "" {
		return
	}
	s.ordering.Lock()
	s.terminal = terminal
	s.ordered = h.GetOrdersVersion()
	s.ordering.Unlock()
	v.orders(ctx, s, func(same string) *agentv1.Orders { return orders.Unchanged(same) })
}

// sendOrders sends a session's agent its orders when it has others.
func (v *Service) sendOrders(ctx context.Context, s *session) {
	v.orders(ctx, s, func(string) *agentv1.Orders { return nil })
}

// orders sends a session's agent its orders, or what unchanged makes of their version when it has them; nil is nothing.
func (v *Service) orders(ctx context.Context, s *session, unchanged func(version string) *agentv1.Orders) {
	s.ordering.Lock()
	defer s.ordering.Unlock()
	if s.terminal == nil {
		return
	}
	o, err := v.Orders.For(ctx, s.terminal)
	if err != nil {
		if ctx.Err() == nil {
			v.Log.Warn("an agent was not sent its orders; it is when they change, or when it comes back", "terminal", s.terminalID, "error", err)
		}
		return
	}
	v.sendResets(ctx, s)
	if o == nil {
		return
	}
	send := o
	if o.GetVersion() == s.ordered {
		send = unchanged(o.GetVersion())
	}
	if send != nil && s.send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Orders{Orders: send}}) {
		s.ordered = o.GetVersion()
	}
}

// maxVersion and maxProblem bound what is logged of an agent's answer to its orders, in bytes.
const maxVersion, maxProblem = 128, 2 << 10

// ordersTaken notes what an agent made of its orders.
func (v *Service) ordersTaken(s *session, t *agentv1.OrdersTaken) {
	if t.GetProblem() == "" {
		v.Log.Debug("an agent goes by its orders", "terminal", s.terminalID, "orders", clipTo(t.GetVersion(), maxVersion))
		return
	}
	v.Log.Warn("an agent refused its orders and goes by the earlier ones", "terminal", s.terminalID,
		"orders", clipTo(t.GetVersion(), maxVersion), "problem", clipTo(t.GetProblem(), maxProblem))
}

func clipTo(s string, most int) string { return s[:min(len(s), most)] }
