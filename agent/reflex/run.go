package reflex

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/runner"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	"github.com/bandfleet/bandfleet/proto/rights"
)

const (
	// awayAfter is how long there must have been no session before the agent does anything by itself: a line that was cut for a moment, or a
	// server that was started again, is back by then.
	awayAfter = 15 * time.Second
	// leastPause is the least time between the end of one attempt and the next of the agent's own.
	leastPause = 30 * time.Second
	// notBegunPause is how long a reflex that could not be begun waits.
	notBegunPause = 10 * time.Minute
	// ownLife is how long a task of the agent's own may wait for a quiet moment.
	ownLife = time.Hour
)

// ownTask is a task of the agent's own under way.
type ownTask struct {
	task    *agentv1.Task
	at      subject
	started bool
}

// due returns the reflexes that are to run now, and how long until another one may be due. It needs the lock.
func (e *Engine) due() (now []*ownTask, later time.Duration) {
	later = idle
	if e.session || e.orders.GetFrozen() {
		return nil, later
	}
	if left := awayAfter - time.Since(e.since); left > 0 {
		return nil, left
	}
	for _, at := range slices.SortedFunc(maps.Keys(e.faults), compareSubjects) {
		r := e.reflexFor(at)
		if r == nil || e.underWay(at) {
			continue
		}
		if wait := e.untilMay(at, r); wait > 0 {
			later = min(later, wait)
			continue
		}
		now = append(now, &ownTask{task: e.taskOf(at, r), at: at})
	}
	return now, later
}

func compareSubjects(a, b subject) int {
	return cmp.Or(strings.Compare(a.entry, b.entry), strings.Compare(a.subject, b.subject))
}

// reflexFor returns what the agent may do about a fault by itself; nil when it is not to, or cannot.
func (e *Engine) reflexFor(at subject) *agentv1.Reflex {
	if !sure(e.faults[at].report) {
		return nil
	}
	for _, r := range e.orders.GetReflexes() {
		if r.GetByAgent() && r.GetEntry() == at.entry && e.offered(r.GetAction()) {
			return r
		}
	}
	return nil
}

// sure says that a report means one fault, now: not a guess, not one of several, and nothing that a log said before the agent first looked.
func sure(f *agentv1.FaultReport) bool {
	return f.GetConfidence() != agentv1.Confidence_CONFIDENCE_GUESS && f.GetConfidence() != agentv1.Confidence_CONFIDENCE_UNSPECIFIED &&
		len(f.GetCandidates()) == 0 && !f.GetHistorical()
}

// offered says whether an action is one that can run here without anybody: no person is asked, and the machine is not started again.
func (e *Engine) offered(action string) bool {
	_, a, ok := e.cfg.Plugins.Find(action)
	return ok && !rights.Declares(a, &actionv1.Capability{Kind: actionv1.CapabilityKind_CAPABILITY_KIND_PERSON_CONFIRM}) &&
		!rights.Declares(a, &actionv1.Capability{Kind: actionv1.CapabilityKind_CAPABILITY_KIND_REBOOT})
}

func (e *Engine) underWay(at subject) bool {
	for _, o := range e.own {
		if o.at == at {
			return true
		}
	}
	return false
}

// untilMay returns how long a reflex has to wait; not at all when it may run now.
func (e *Engine) untilMay(at subject, r *agentv1.Reflex) time.Duration {
	now := e.clock.now()
	f := e.faults[at]
	of := remedy{at.entry, at.subject, r.GetAction()}
	b := e.entryOf(of)
	if b.GetOpen() {
		return time.Duration(b.GetUntil() - now)
	}
	n, last := others(b, nil)
	if last == nil {
		return time.Duration(f.notBefore - now)
	}
	g := e.guardrails(r.GetPolicy(), of)
	switch {
	case last.GetEnded() == 0, n >= g.GetMaxAttempts():
		return idle // its end, or the breaker, comes first
	case !last.GetFailed() && f.seen <= last.GetEnded() && !isState(f.report):
		return idle // until it is reported again
	}
	pause := max(leastPause, g.GetCooldown().AsDuration())
	if !last.GetFailed() && f.seen <= last.GetEnded() {
		pause = max(pause, standAfter)
	}
	return time.Duration(max(last.GetEnded()+int64(pause), f.notBefore) - now)
}

// taskOf makes the task of a reflex.
func (e *Engine) taskOf(at subject, r *agentv1.Reflex) *agentv1.Task {
	params := map[string]string{}
	for name, value := range r.GetParams() {
		params[name] = strings.ReplaceAll(value, "{subject}", at.subject)
	}
	return &agentv1.Task{
		Key:    &agentv1.TaskKey{JobId: runner.OwnPrefix + strings.ToLower(ulid.Make().String()), Attempt: 1},
		Action: r.GetAction(), Params: params, Expires: timestamppb.New(e.runner.ServerTime().Add(ownLife)),
		Requester: "policy " + r.GetPolicy(), Reason: fmt.Sprintf("fault %s %q, and the server is away", at.entry, at.subject),
		WaitWhileInUse: r.GetGuardrails().GetOnlyWhenQuiet(),
		Remedies:       &agentv1.Remedies{Entry: at.entry, Subject: at.subject, Policy: r.GetPolicy()},
	}
}

// begin hands a reflex to the runner.
func (e *Engine) begin(o *ownTask) {
	id := o.task.GetKey().GetJobId()
	err := unresolved(o.task)
	if err == nil {
		o.task.Epoch, err = e.runner.Epoch()
	}
	e.mu.Lock()
	e.own[id] = o
	e.mu.Unlock()
	if err == nil {
		err = e.runner.Own(o.task)
	}
	if err == nil {
		return
	}
	e.log.Warn("a fault cannot be remedied by the agent itself", "entry", o.at.entry, "subject", o.at.subject, "action", o.task.GetAction(), "cause", err)
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.own, id)
	e.putOff(o.at)
}

// unresolved says that a parameter still holds a placeholder which only the server could fill in.
func unresolved(t *agentv1.Task) error {
	for name, value := range t.GetParams() {
		for p := range catalogue.Placeholders() {
			if strings.Contains(value, p) {
				return fmt.Errorf("action %q: parameter %q: %s is not known here", t.GetAction(), name, p)
			}
		}
	}
	return nil
}

// putOff keeps a reflex that did not begin from being asked for at once again. It needs the lock.
func (e *Engine) putOff(at subject) {
	if f := e.faults[at]; f != nil {
		f.notBefore = e.clock.now() + int64(notBegunPause)
	}
}

// pointless returns the tasks that wait although they are not wanted any more. It needs the lock.
func (e *Engine) pointless() (keys []*agentv1.TaskKey) {
	for _, o := range e.own {
		wanted := e.faults[o.at] != nil && !e.orders.GetFrozen()
		if wanted {
			r := e.reflexFor(o.at)
			wanted = r.GetAction() == o.task.GetAction() && r.GetPolicy() == o.task.GetRemedies().GetPolicy()
		}
		if !wanted && !o.started {
			keys = append(keys, o.task.GetKey())
		}
	}
	return keys
}
