package sessions

import (
	"sync"
	"sync/atomic"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// queueSize is how many messages may wait for an agent that does not read. The engine gives one terminal far fewer tasks.
const queueSize = 256

// flushPatience is how long a session that is being ended may take to send what is queued.
const flushPatience = 2 * time.Second

// sender is the sending half of a stream.
type sender interface {
	Send(*agentv1.ConnectResponse) error
}

// session is one stream. Sends are queued; a goroutine exists for them only while there is something to send.
type session struct {
	terminalID string
	number     uint64
	// role is the terminal's, which decides what counts as a fault of it.
	role fleetv1.TerminalRole
	out  sender
	// journal is its agent's, before the sequence that the session told which it replaced, when that had the same journal, and heard the
	// greatest that it told itself.
	journal string
	before  uint64
	heard   atomic.Uint64
	// refused counts the results that were not taken, and foreign those of them that are of other terminals' tasks.
	refused, foreign atomic.Int32
	// plugins are those that its agent has, kept while manifests of some are wanted. Only the receiving goroutine uses it.
	plugins []string
	// news is what its agent has told and is not on disk yet.
	news newsQueue

	// ordering is held while orders are sent: ordered is the version of those that its agent has, or was sent last, and terminal its record; nil
	// when it takes none.
	ordering sync.Mutex
	ordered  string
	terminal *storagev1.TerminalRecord

	ended chan struct{}

	mu      sync.Mutex
	open    bool
	sending bool
	// last is set when nothing more is queued and the session ends once the queue is sent.
	last  error
	cause error
	queue []*agentv1.ConnectResponse
}

func newSession(terminalID string, out sender) *session {
	return &session{terminalID: terminalID, out: out, ended: make(chan struct{})}
}

// hear notes a sequence of the journal. Only the receiving goroutine calls it.
func (s *session) hear(sequence uint64) { s.heard.Store(max(s.heard.Load(), sequence)) }

// start queues the first message. Until then nothing else is taken. It does nothing when the session is being ended already.
func (s *session) start(welcome *agentv1.ConnectResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.open = true
		s.push(welcome)
	}
}

func (s *session) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open && s.cause == nil && s.last == nil
}

// send queues a message. False: the session is not open, or is being ended.
func (s *session) send(m *agentv1.ConnectResponse) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open || s.cause != nil || s.last != nil {
		return false
	}
	if len(s.queue) >= queueSize {
		s.end(refusal.New(refusal.Exhausted, "SESSION_SLOW", "terminal %q: its agent does not read what it is sent", s.terminalID))
		return false
	}
	s.push(m)
	return true
}

// push needs the lock.
func (s *session) push(m *agentv1.ConnectResponse) {
	s.queue = append(s.queue, m)
	if !s.sending {
		s.sending = true
		go s.drain()
	}
}

// drain sends until the queue is empty.
func (s *session) drain() {
	for {
		m := s.pop()
		if m == nil {
			return
		}
		if err := s.out.Send(m); err != nil {
			s.cut(err)
		}
	}
}

func (s *session) pop() *agentv1.ConnectResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil || len(s.queue) == 0 {
		if s.last != nil {
			s.end(s.last)
		}
		s.sending, s.queue = false, nil
		return nil
	}
	m := s.queue[0]
	s.queue[0] = nil
	s.queue = s.queue[1:]
	return m
}

// sayGoodbye sends what is queued and a last message, then ends the session; it is cut when that takes too long.
func (s *session) sayGoodbye(g *agentv1.Goodbye, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil || s.last != nil {
		return
	}
	s.last = cause
	s.push(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Goodbye{Goodbye: g}})
	time.AfterFunc(flushPatience, func() { s.cut(cause) })
}

// cut ends the session at once. The first cause counts.
func (s *session) cut(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(cause)
}

// end needs the lock.
func (s *session) end(cause error) {
	if s.cause == nil {
		s.cause = cause
		close(s.ended)
	}
}

// why is the cause of the end.
func (s *session) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}
