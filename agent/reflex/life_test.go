package reflex

import (
	"errors"
	"sync"
	"time"

	"github.com/bandfleet/bandfleet/agent/journal"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// life is how long a process lives: it dies just before its n-th write to the journal or change of the machine, and from then on can do
// neither.
type life struct {
	mu   sync.Mutex
	left int
	dead bool
	did  []string
}

var errDead = errors.New("this process of the agent is dead")

func newLife(left int) *life { return &life{left: left} }

func (l *life) step(what string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return errDead
	}
	l.did = append(l.did, what)
	if l.left > 0 {
		l.left--
		l.dead = l.left == 0
	}
	if l.dead {
		return errDead
	}
	return nil
}

func (l *life) isDead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

// mortal is the journal as a process with a life sees it.
type mortal struct {
	*journal.Journal
	life *life
}

func (m mortal) take(what string, write func() error) error {
	if err := m.life.step(what); err != nil {
		return err
	}
	return write()
}

func (m mortal) PutNews(n *agentv1.News, b journal.Beside) error {
	return m.take("news", func() error { return m.Journal.PutNews(n, b) })
}

func (m mortal) DropBreaker(entry, subject, action string) error {
	return m.take("drop breaker", func() error { return m.Journal.DropBreaker(entry, subject, action) })
}

func (m mortal) Accept(t *agentv1.Task, at time.Time) (rec *storagev1.JournalTask, known bool, err error) {
	err = m.take("accept", func() (err error) { rec, known, err = m.Journal.Accept(t, at); return err })
	return rec, known, err
}

func (m mortal) Reject(t *agentv1.Task, at time.Time, res *actionv1.TaskResult) (rec *storagev1.JournalTask, known bool, err error) {
	err = m.take("reject", func() (err error) { rec, known, err = m.Journal.Reject(t, at, res); return err })
	return rec, known, err
}

func (m mortal) Start(k *agentv1.TaskKey, at time.Time, boot string) error {
	return m.take("start", func() error { return m.Journal.Start(k, at, boot) })
}

func (m mortal) Rerun(k *agentv1.TaskKey, boot string) error {
	return m.take("rerun", func() error { return m.Journal.Rerun(k, boot) })
}

func (m mortal) SavePlan(k *agentv1.TaskKey, p *actionv1.Plan) error {
	return m.take("plan", func() error { return m.Journal.SavePlan(k, p) })
}

func (m mortal) EnterPhase(k *agentv1.TaskKey, p actionv1.Phase) error {
	return m.take("enter "+p.String(), func() error { return m.Journal.EnterPhase(k, p) })
}

func (m mortal) SaveUndone(k *agentv1.TaskKey, u []*actionv1.Undo) error {
	return m.take("undone", func() error { return m.Journal.SaveUndone(k, u) })
}

func (m mortal) EffectIntent(k *agentv1.TaskKey, run uint32, e *actionv1.RecordedEffect) (n uint32, err error) {
	err = m.take("intent", func() (err error) { n, err = m.Journal.EffectIntent(k, run, e); return err })
	return n, err
}

func (m mortal) EffectOutcome(k *agentv1.TaskKey, n uint32, e *actionv1.RecordedEffect) error {
	return m.take("outcome", func() error { return m.Journal.EffectOutcome(k, n, e) })
}

func (m mortal) Finish(k *agentv1.TaskKey, res *actionv1.TaskResult, at time.Time) error {
	return m.take("finish", func() error { return m.Journal.Finish(k, res, at) })
}

func (m mortal) FinishLeased(k *agentv1.TaskKey, res *actionv1.TaskResult, at time.Time, l *storagev1.JournalLease) error {
	return m.take("finish", func() error { return m.Journal.FinishLeased(k, res, at, l) })
}

func (m mortal) Acknowledge(k *agentv1.TaskKey, at time.Time) error {
	return m.take("acknowledge", func() error { return m.Journal.Acknowledge(k, at) })
}

func (m mortal) PutObligation(o *storagev1.Obligation) error {
	return m.take("put obligation", func() error { return m.Journal.PutObligation(o) })
}

func (m mortal) DropObligation(resource string) error {
	return m.take("drop obligation", func() error { return m.Journal.DropObligation(resource) })
}
