package sessions

import (
	"context"
	"errors"

	"github.com/oklog/ulid/v2"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

const (
	// maxForeign is how many results of other terminals' tasks a session may hold.
	maxForeign = 16
	// maxOpenTasks bounds a hello.
	maxOpenTasks = 10_000
	// maxPrompt is the longest question, and maxPlanID the longest id of a planned effect, in bytes.
	maxPrompt = 500
	maxPlanID = 200
	// maxLeaseID is the longest id of a lease, and maxLeaseText the longest text of the news of one, in bytes.
	maxLeaseID   = 200
	maxLeaseText = 4 << 10
	// epochSlack is how far beyond the server's clock and its own epoch an agent may raise the epoch, in seconds: an epoch is
	// the time at which a store was made, and one more with each restoration.
	epochSlack = 24 * 60 * 60
)

// take handles one message. An error cuts the session.
func (v *Service) take(ctx context.Context, s *session, m *agentv1.ConnectRequest) error {
	switch m := m.GetMessage().(type) {
	case *agentv1.ConnectRequest_Accepted:
		return checkKey(s, m.Accepted.GetKey())
	case *agentv1.ConnectRequest_PermitRequest:
		if err := checkKey(s, m.PermitRequest.GetKey()); err != nil {
			return err
		}
		return v.Engine.PermitRequested(ctx, s.terminalID, m.PermitRequest)
	case *agentv1.ConnectRequest_Blocked:
		if err := checkKey(s, m.Blocked.GetKey()); err != nil {
			return err
		}
		return v.Engine.Blocked(ctx, s.terminalID, m.Blocked)
	case *agentv1.ConnectRequest_Started:
		if err := checkKey(s, m.Started.GetKey()); err != nil {
			return err
		}
		s.hear(m.Started.GetJournalSequence())
		return v.Engine.Started(ctx, s.terminalID, m.Started)
	case *agentv1.ConnectRequest_Progress:
		if err := checkKey(s, m.Progress.GetKey()); err != nil {
			return err
		}
		return v.Engine.Progress(ctx, s.terminalID, m.Progress)
	case *agentv1.ConnectRequest_Question:
		if err := checkQuestion(s, m.Question); err != nil {
			return err
		}
		return v.Engine.Question(ctx, s.terminalID, m.Question)
	case *agentv1.ConnectRequest_LeaseNews:
		return v.leaseNews(ctx, s, m.LeaseNews)
	case *agentv1.ConnectRequest_News:
		return v.news(ctx, s, m.News)
	case *agentv1.ConnectRequest_UnmatchedLines:
		return v.unmatched(ctx, s, m.UnmatchedLines)
	case *agentv1.ConnectRequest_OrdersTaken:
		v.ordersTaken(s, m.OrdersTaken)
		return nil
	case *agentv1.ConnectRequest_Result:
		return v.result(ctx, s, m.Result)
	case *agentv1.ConnectRequest_Facts:
		if err := v.Inventory.FactsChanged(ctx, s.terminalID, m.Facts); err != nil {
			return err
		}
		return v.Engine.Facts(ctx, s.terminalID, s.number, s.role, m.Facts)
	case *agentv1.ConnectRequest_Plugins:
		return v.pluginsReported(ctx, s, m.Plugins)
	case *agentv1.ConnectRequest_Ask:
		if err := checkKey(s, m.Ask.GetKey()); err != nil {
			return err
		}
		v.Asks.Ask(ctx, s.terminalID, s.number, m.Ask)
		return nil
	case *agentv1.ConnectRequest_ProbeVerdict:
		v.Asks.Verdict(s.terminalID, m.ProbeVerdict)
		return nil
	case *agentv1.ConnectRequest_Hello:
		return malformed(s, "a second hello")
	default:
		// A message of a later version: an older server does not need to know it.
		return nil
	}
}

// pluginsReported stores manifests, and tells the engine once more which plugins there are: it may not have known what they offer.
func (v *Service) pluginsReported(ctx context.Context, s *session, m *agentv1.PluginsReport) error {
	if err := v.Inventory.SavePlugins(ctx, s.terminalID, m.GetPlugins()); err != nil {
		return err
	}
	plugins := s.plugins
	s.plugins = nil
	return v.Engine.PluginsSeen(ctx, s.terminalID, plugins)
}

// result hands a result over; it is acknowledged when it is on disk.
func (v *Service) result(ctx context.Context, s *session, r *agentv1.Result) error {
	if err := checkKey(s, r.GetKey()); err != nil {
		return err
	}
	if r.GetResult().GetStatus() == actionv1.TaskStatus_TASK_STATUS_UNSPECIFIED {
		return malformed(s, "a result without status")
	}
	s.hear(r.GetJournalSequence())
	return v.Engine.Result(ctx, s.terminalID, r, func(err error) {
		if err != nil {
			v.refuseResult(s, r.GetKey(), err)
			return
		}
		s.send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_ResultAck{ResultAck: &agentv1.ResultAck{Key: r.GetKey()}}})
	})
}

// refuseResult does not acknowledge a result, so that the agent keeps it: nothing is lost when the store is an old one. Of a job
// that is not known an honest agent may have many results, when the store was restored from a backup; of a job of other
// terminals it has none.
func (v *Service) refuseResult(s *session, key *agentv1.TaskKey, err error) {
	if s.refused.Add(1) <= maxForeign {
		v.Log.Warn("a result, or the news of a lease, was not taken", "terminal", s.terminalID, "job", key.GetJobId(), "attempt", key.GetAttempt(), "error", err)
	}
	var no *refusal.Error
	if !errors.As(err, &no) || no.Kind != refusal.Denied {
		return
	}
	if n := s.foreign.Add(1); n > maxForeign {
		s.cut(refusal.New(refusal.Denied, "FOREIGN_TASKS", "terminal %q: sent results of %d tasks that are not its own", s.terminalID, n))
	}
}

// checkHello looks at what sessions are concerned with; the inventory checks the rest.
func (v *Service) checkHello(s *session, h *agentv1.Hello) error {
	if len(h.GetOpenTasks()) > maxOpenTasks {
		return malformed(s, "hello holds too much")
	}
	if seen, own := h.GetEpoch(), v.Epoch.Current(); seen > own && seen > max(own, uint64(v.Now().Unix()))+epochSlack {
		// All agents would be told of it and keep it: one that lies could keep the fleet from ever being restored.
		return malformed(s, "hello with an epoch that no server ever had")
	}
	for _, o := range h.GetOpenTasks() {
		if err := checkKey(s, o.GetKey()); err != nil {
			return err
		}
	}
	return nil
}

// checkQuestion bounds what is shown to people.
func checkQuestion(s *session, q *agentv1.Question) error {
	if err := checkKey(s, q.GetKey()); err != nil {
		return err
	}
	switch {
	case q.GetPlanId() == "" || len(q.GetPlanId()) > maxPlanID:
		return malformed(s, "a question without a planned effect")
	case q.GetPrompt() == "" || len(q.GetPrompt()) > maxPrompt:
		return malformed(s, "a question that is empty or too long")
	case q.GetDeadline().CheckValid() != nil:
		return malformed(s, "a question without a deadline")
	}
	return nil
}

func checkKey(s *session, key *agentv1.TaskKey) error {
	if _, err := ulid.ParseStrict(key.GetJobId()); err != nil || key.GetAttempt() == 0 {
		return malformed(s, "a message without a task's key")
	}
	return nil
}

func malformed(s *session, what string) error {
	return refusal.New(refusal.Invalid, "MALFORMED_MESSAGE", "terminal %q: %s", s.terminalID, what).Then("bring agent and server to versions that fit")
}
