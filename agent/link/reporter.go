package link

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// report puts a message on the current session. Without one it is dropped: the next session begins with what matters.
func (l *Link) report(m *agentv1.ConnectRequest) {
	l.mu.Lock()
	box := l.current
	l.mu.Unlock()
	if box != nil {
		box.put(m)
	}
}

// Accepted reports that a task is journalled.
func (l *Link) Accepted(key *agentv1.TaskKey) { l.report(accepted(key)) }

func accepted(key *agentv1.TaskKey) *agentv1.ConnectRequest {
	return &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Accepted{Accepted: &agentv1.Accepted{Key: key}}}
}

// Started reports that a task was started.
func (l *Link) Started(key *agentv1.TaskKey, at time.Time) {
	l.report(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Started{
		Started: &agentv1.Started{Key: key, Started: timestamppb.New(at), JournalSequence: l.config.Journal.Sequence()},
	}})
}

// Progress reports where a running task is. It may be lost.
func (l *Link) Progress(key *agentv1.TaskKey, phase, message string) {
	l.report(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Progress{
		Progress: &agentv1.TaskProgress{Key: key, Phase: phase, Message: message},
	}})
}

// Result reports a journalled result.
func (l *Link) Result(r *agentv1.Result) { l.report(l.result(r)) }

func (l *Link) result(r *agentv1.Result) *agentv1.ConnectRequest {
	told := &agentv1.Result{Key: r.GetKey(), Result: r.GetResult(), JournalSequence: l.config.Journal.Sequence()}
	return &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Result{Result: told}}
}

// PermitRequest asks for another permit and says why the last one was not used.
func (l *Link) PermitRequest(key *agentv1.TaskKey, reason agentv1.HoldReason, waitedFor string) {
	l.report(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_PermitRequest{
		PermitRequest: &agentv1.PermitRequest{Key: key, WaitedFor: waitedFor, Reason: reason},
	}})
}

// Blocked says why a task has not started on its permit.
func (l *Link) Blocked(key *agentv1.TaskKey, reason agentv1.HoldReason, waitedFor string) {
	l.report(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Blocked{
		Blocked: &agentv1.Blocked{Key: key, WaitedFor: waitedFor, Reason: reason},
	}})
}

// Question asks a person, through the server.
func (l *Link) Question(q *agentv1.Question) { l.report(question(q)) }

func question(q *agentv1.Question) *agentv1.ConnectRequest {
	return &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Question{Question: q}}
}

// LeaseNews reports what became of a change with an end.
func (l *Link) LeaseNews(n *agentv1.LeaseNews) { l.report(leaseNews(n)) }

func leaseNews(n *agentv1.LeaseNews) *agentv1.ConnectRequest {
	return &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_LeaseNews{LeaseNews: n}}
}
