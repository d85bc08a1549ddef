// Package sessions keeps the agents' sessions: one stream per terminal, on which tasks go out and results come back. It owns
// who is connected right now, which is never stored. The server starts it; server/jobs and server/inventory send through it
// and ask it who is online.
package sessions

import (
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// Registry is who is connected. It can be asked before there is a Service, because the engine that a service reports to
// sends through it.
type Registry struct {
	mu      sync.RWMutex
	current map[string]*session
	last    uint64
	closing bool
	// running counts every session whose end has not been reported, replaced ones too.
	running   sync.WaitGroup
	admission Admission
	log       *slog.Logger
}

// Admission knows how fast agents can be let in.
type Admission interface {
	// Spread is how long so many agents take to come back.
	Spread(agents int) time.Duration
}

// NewRegistry makes an empty registry.
func NewRegistry(admission Admission, log *slog.Logger) *Registry {
	return &Registry{current: make(map[string]*session), admission: admission, log: log}
}

// Send queues a message for a terminal on the session with this number, and never blocks. False: another session has taken its
// place, or it is being cut.
func (r *Registry) Send(terminalID string, session uint64, m *agentv1.ConnectResponse) bool {
	r.mu.RLock()
	s := r.current[terminalID]
	r.mu.RUnlock()
	return s != nil && s.number == session && s.send(m)
}

// Tell queues a message for a terminal on the session that it has now, and never blocks. False: it has none.
func (r *Registry) Tell(terminalID string, m *agentv1.ConnectResponse) bool {
	r.mu.RLock()
	s := r.current[terminalID]
	r.mu.RUnlock()
	return s != nil && s.send(m)
}

// Online reports whether a terminal has an open session.
func (r *Registry) Online(terminalID string) bool {
	r.mu.RLock()
	s := r.current[terminalID]
	r.mu.RUnlock()
	return s != nil && s.isOpen()
}

// all returns every session that there is now.
func (r *Registry) all() []*session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]*session, 0, len(r.current))
	for _, s := range r.current {
		all = append(all, s)
	}
	return all
}

// Count is how many terminals have a session.
func (r *Registry) Count() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.current)
}

// Kick ends a terminal's session, if it has one, because its certificate is no longer good. The agent is told that coming back
// with it is pointless.
func (r *Registry) Kick(terminalID, reason string) {
	r.mu.RLock()
	s := r.current[terminalID]
	r.mu.RUnlock()
	if s == nil {
		return
	}
	goodbye := &agentv1.Goodbye{Reason: reason, Final: true}
	s.sayGoodbye(goodbye, refusal.New(refusal.Denied, "SESSION_ENDED", "terminal %q: %s", terminalID, reason))
}

// enter makes s the terminal's session. The session before it ends.
func (r *Registry) enter(s *session) error {
	r.mu.Lock()
	if r.closing {
		r.mu.Unlock()
		return errStopping()
	}
	r.last++
	s.number = r.last
	before := r.current[s.terminalID]
	r.current[s.terminalID] = s
	if before != nil && before.journal == s.journal {
		s.before = max(before.before, before.heard.Load())
	}
	r.running.Add(1)
	r.mu.Unlock()
	if before != nil {
		r.log.Info("another session of the terminal took over", "terminal", s.terminalID)
		before.cut(refusal.New(refusal.Conflict, "SESSION_REPLACED", "terminal %q: another session took over", s.terminalID).
			Then("if two machines use this identity, enrol one of them again"))
	}
	return nil
}

// isCurrent reports whether s is still the terminal's session.
func (r *Registry) isCurrent(s *session) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.current[s.terminalID] == s
}

// leave takes s out, if it is still the terminal's session.
func (r *Registry) leave(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current[s.terminalID] == s {
		delete(r.current, s.terminalID)
	}
}

// returnWithin is the time over which agents spread their return when the server dies: all that are there, or the whole fleet
// when that is more, for those that are not there yet will be.
func (r *Registry) returnWithin(fleet int) time.Duration {
	return r.admission.Spread(max(fleet, r.Count()))
}

// Shutdown lets nobody in any more, says goodbye to all and returns when the end of every session has been
// reported. What lasts longer than patience is cut.
func (r *Registry) Shutdown(patience time.Duration) {
	r.mu.Lock()
	r.closing = true
	r.mu.Unlock()
	all := r.all()
	spread := r.admission.Spread(len(all))
	for _, s := range all {
		wait := time.Second + rand.N(spread) //nolint:gosec // it only spreads the load
		s.sayGoodbye(&agentv1.Goodbye{Reason: "the server is stopping", RetryAfter: durationpb.New(wait)}, errStopping())
	}
	ended := make(chan struct{})
	go func() { r.running.Wait(); close(ended) }()
	select {
	case <-ended:
		return
	case <-time.After(patience):
	}
	for _, s := range all {
		s.cut(errStopping())
	}
	<-ended
}

func errStopping() error {
	return refusal.New(refusal.Unavailable, "STOPPING", "the server is stopping").Then("come back later")
}
