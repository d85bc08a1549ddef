package runner

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// OwnPrefix begins the job id of each task that the agent asks of itself. No server has such a job: nothing of it is said on a session.
const OwnPrefix = "reflex-"

// IsOwn says whether a task is one that the agent asked of itself.
func IsOwn(k *agentv1.TaskKey) bool { return strings.HasPrefix(k.GetJobId(), OwnPrefix) }

// Remedies is told of tasks that are to remedy a fault, and decides which of them may not be tried. Package agent/reflex implements it. Calls
// come from several goroutines, and while none of the runner's locks is held.
type Remedies interface {
	// Refuses says why a task may not start now and what is to be done; reason is empty when it may. It is asked when a task comes and again
	// when it starts.
	Refuses(t *agentv1.Task) (reason, nextStep string)
	// Begins counts an attempt, on disk, just before its task starts. For the same task once more it changes nothing.
	Begins(t *agentv1.Task) error
	// Ended tells of each result that was journalled, of whatever task. A result without a start is of one that has done nothing.
	Ended(k *agentv1.TaskKey, result *actionv1.TaskResult)
	// Session says whether there is one now.
	Session(open bool)
}

// nobody counts nothing.
type nobody struct{}

func (nobody) Refuses(*agentv1.Task) (reason, nextStep string) { return "", "" }
func (nobody) Begins(*agentv1.Task) error                      { return nil }
func (nobody) Ended(*agentv1.TaskKey, *actionv1.TaskResult)    {}
func (nobody) Session(bool)                                    {}

// errServed says that the server is there, so that it decides.
var errServed = errors.New("there is a session: the server decides what is done")

// Own takes in a task of the agent's own. It starts without a permit, as soon as its locks are free and it disturbs nobody, while there is no
// session; one that has not started when a session begins is taken back. What comes of it is told to Remedies alone.
func (r *Runner) Own(t *agentv1.Task) error {
	if !IsOwn(t.GetKey()) {
		return fmt.Errorf("task %q: is not the agent's own", nameOf(t.GetKey()))
	}
	r.mu.Lock()
	served := r.session
	r.mu.Unlock()
	if served {
		return errServed
	}
	rec, known, err := r.admit(proto.CloneOf(t))
	if err != nil {
		return fmt.Errorf("task %q: %w", nameOf(t.GetKey()), err)
	}
	if !known && rec.GetState() == agentv1.TaskState_TASK_STATE_FINISHED {
		r.closed(t.GetKey(), rec.GetResult())
	}
	return nil
}

// Withdraw takes back a task of the agent's own that has not started.
func (r *Runner) Withdraw(k *agentv1.TaskKey, reason string) {
	if IsOwn(k) {
		r.Cancel(k, reason)
	}
}

// withdrawOwn takes back all of the agent's own tasks that have not started.
func (r *Runner) withdrawOwn() {
	r.mu.Lock()
	var waiting []*agentv1.TaskKey
	for _, e := range r.queue {
		if e.own && e.needsPermit {
			waiting = append(waiting, e.task.GetKey())
		}
	}
	r.mu.Unlock()
	for _, k := range waiting {
		r.Cancel(k, errServed.Error())
	}
}

// ServerTime is the server's time as far as it is known, else the machine's.
func (r *Runner) ServerTime() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clock.now()
}

// refusedRemedy says why a task that is to remedy a fault may not be tried now, nil when it may, or is no such task.
func (r *Runner) refusedRemedy(t *agentv1.Task) *actionv1.TaskResult {
	if t.GetRemedies() == nil || t.GetDryRun() {
		return nil
	}
	reason, nextStep := r.cfg.Remedies.Refuses(t)
	if reason == "" {
		return nil
	}
	return unstarted(actionv1.TaskStatus_TASK_STATUS_REFUSED, reason, nextStep)
}

// countRemedy counts a task that is about to start, if it is to remedy a fault.
func (r *Runner) countRemedy(t *agentv1.Task) error {
	if t.GetRemedies() == nil || t.GetDryRun() {
		return nil
	}
	return r.cfg.Remedies.Begins(t)
}

// spool is where a task's files go, nil for nowhere: the server takes none of a job that it has not.
func (r *Runner) spool(k *agentv1.TaskKey) Spool {
	if r.cfg.Spool == nil || IsOwn(k) {
		return nil
	}
	return r.cfg.Spool
}

// serversOnly passes on what is of the server's tasks.
type serversOnly struct{ to Reporter }

func (s serversOnly) Accepted(k *agentv1.TaskKey) {
	if !IsOwn(k) {
		s.to.Accepted(k)
	}
}

func (s serversOnly) Started(k *agentv1.TaskKey, at time.Time) {
	if !IsOwn(k) {
		s.to.Started(k, at)
	}
}

func (s serversOnly) Progress(k *agentv1.TaskKey, phase, message string) {
	if !IsOwn(k) {
		s.to.Progress(k, phase, message)
	}
}

func (s serversOnly) Result(r *agentv1.Result) {
	if !IsOwn(r.GetKey()) {
		s.to.Result(r)
	}
}

func (s serversOnly) PermitRequest(k *agentv1.TaskKey, reason agentv1.HoldReason, waitedFor string) {
	if !IsOwn(k) {
		s.to.PermitRequest(k, reason, waitedFor)
	}
}

func (s serversOnly) Blocked(k *agentv1.TaskKey, reason agentv1.HoldReason, waitedFor string) {
	if !IsOwn(k) {
		s.to.Blocked(k, reason, waitedFor)
	}
}

func (s serversOnly) Question(q *agentv1.Question) {
	if !IsOwn(q.GetKey()) {
		s.to.Question(q)
	}
}

func (s serversOnly) LeaseNews(n *agentv1.LeaseNews) {
	if !IsOwn(n.GetKey()) {
		s.to.LeaseNews(n)
	}
}

// askerFor returns who asks the server for a task. The agent's own tasks are there for the time when nobody can be asked.
func (r *Runner) askerFor(k *agentv1.TaskKey) Asker {
	if IsOwn(k) {
		return unreachable{}
	}
	return r.server()
}
