package runner

import (
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Reporter tells the server how a task goes. Package agent/link implements it. Calls never block for long; without a session
// they are dropped, because what matters is in the journal and told again at the next session.
type Reporter interface {
	Accepted(k *agentv1.TaskKey)
	Started(k *agentv1.TaskKey, at time.Time)
	// Progress is a line for whoever watches: phase is "plan", "apply", "verify" or "undo".
	Progress(k *agentv1.TaskKey, phase, message string)
	Result(res *agentv1.Result)
	// PermitRequest asks again for a permit that lapsed before it could be used, or that was taken back; waitedFor says what was
	// in the way, empty if nothing was.
	PermitRequest(k *agentv1.TaskKey, reason agentv1.HoldReason, waitedFor string)
	// Blocked says why a task has not started on its permit, which it keeps.
	Blocked(k *agentv1.TaskKey, reason agentv1.HoldReason, waitedFor string)
	// Question asks a person, through the server. It is told again at each new session while it is open.
	Question(q *agentv1.Question)
	// LeaseNews tells what became of a change with an end. It is told again at each new session until it is acknowledged.
	LeaseNews(n *agentv1.LeaseNews)
}

// silent is the reporter before there is one.
type silent struct{}

func (silent) Accepted(*agentv1.TaskKey)                                  {}
func (silent) Started(*agentv1.TaskKey, time.Time)                        {}
func (silent) Progress(*agentv1.TaskKey, string, string)                  {}
func (silent) Result(*agentv1.Result)                                     {}
func (silent) PermitRequest(*agentv1.TaskKey, agentv1.HoldReason, string) {}
func (silent) Blocked(*agentv1.TaskKey, agentv1.HoldReason, string)       {}
func (silent) Question(*agentv1.Question)                                 {}
func (silent) LeaseNews(*agentv1.LeaseNews)                               {}
