package sessions

import (
	"context"
	"errors"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// leaseNews hands over what became of a change with an end; it is acknowledged when it is on disk.
func (v *Service) leaseNews(ctx context.Context, s *session, n *agentv1.LeaseNews) error {
	if err := checkLeaseNews(s, n); err != nil {
		return err
	}
	return v.Engine.LeaseNews(ctx, s.terminalID, n, func(err error) {
		var no *refusal.Error
		switch {
		case errors.As(err, &no) && no.Kind == refusal.NotFound:
			v.ignoreNews(s, n, err)
		case err != nil:
			v.refuseResult(s, n.GetKey(), err)
			return
		}
		s.send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_LeaseNewsAck{
			LeaseNewsAck: &agentv1.LeaseNewsAck{Id: n.GetLease().GetId(), Ended: n.GetLease().GetEnded()},
		}})
	})
}

// ignoreNews notes news that there is no place for any more, so that the agent need not keep it.
func (v *Service) ignoreNews(s *session, n *agentv1.LeaseNews, err error) {
	if s.refused.Add(1) <= maxForeign {
		v.Log.Info("news of a lease has no place any more", "terminal", s.terminalID, "job", n.GetKey().GetJobId(),
			"lease", n.GetLease().GetId(), "ended", n.GetLease().GetEnded(), "error", err)
	}
}

// checkLeaseNews bounds what is stored and shown to people.
func checkLeaseNews(s *session, n *agentv1.LeaseNews) error {
	if err := checkKey(s, n.GetKey()); err != nil {
		return err
	}
	l := n.GetLease()
	switch {
	case l.GetId() == "" || len(l.GetId()) > maxLeaseID:
		return malformed(s, "news of a lease without its id")
	case len(l.GetOutcome()) > maxLeaseText || len(l.GetLastError()) > maxLeaseText:
		return malformed(s, "news of a lease that is too long")
	case l.GetEnded() != (l.GetEndedAt() != nil):
		return malformed(s, "news of a lease that does not say whether it has ended")
	case l.GetEnded() && !l.GetEndedAt().IsValid():
		return malformed(s, "news of a lease that ended at no time")
	}
	return nil
}
