package runnertest

import (
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// server is a runner.Reporter that remembers, and asks the test's person.
type server struct {
	person func(*agentv1.Question) *agentv1.Answer
	// tell hands an answer to the agent that runs now.
	tell func(*agentv1.Answer)
	// came is told of each result.
	came chan struct{}

	mu       sync.Mutex
	results  map[string]*actionv1.TaskResult
	started  map[string]int
	progress []string
}

func newServer() *server {
	return &server{results: map[string]*actionv1.TaskResult{}, started: map[string]int{}, came: make(chan struct{}, 64)}
}

func (s *server) Accepted(*agentv1.TaskKey)                                  {}
func (s *server) PermitRequest(*agentv1.TaskKey, agentv1.HoldReason, string) {}
func (s *server) Blocked(*agentv1.TaskKey, agentv1.HoldReason, string)       {}
func (s *server) LeaseNews(*agentv1.LeaseNews)                               {}

func (s *server) Started(k *agentv1.TaskKey, _ time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started[k.GetJobId()]++
}

func (s *server) Progress(_ *agentv1.TaskKey, phase, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress = append(s.progress, phase+": "+message)
}

func (s *server) Result(r *agentv1.Result) {
	s.mu.Lock()
	s.results[r.GetKey().GetJobId()] = proto.CloneOf(r.GetResult())
	s.mu.Unlock()
	select {
	case s.came <- struct{}{}:
	default:
	}
}

// Question has the person answer, when there is one.
func (s *server) Question(q *agentv1.Question) {
	if s.person == nil {
		return
	}
	a := s.person(q)
	if a == nil {
		return
	}
	a = proto.CloneOf(a)
	a.Key, a.PlanId = q.GetKey(), q.GetPlanId()
	go s.tell(a)
}

func (s *server) result(job string) *actionv1.TaskResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.results[job]
}
