package runnertest

import (
	"sync"
	"time"

	"github.com/bandfleet/bandfleet/agent/runner"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// life is how long one process of the agent lives: it dies just before its n-th step, which is a write to the journal or a change of the
// machine, and from then on it can neither write nor change anything. To die after a step is to die before the next one: nothing that
// lasts happens between them.
type life struct {
	// over is closed when it dies.
	over chan struct{}

	mu sync.Mutex
	// left counts the steps until death; 0 means that it does not die.
	left int
	dead bool
	did  []string
}

func newLife(left int) *life { return &life{left: left, over: make(chan struct{})} }

// step says whether a step may be taken.
func (l *life) step(what string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return errDead
	}
	l.did = append(l.did, what)
	if l.left == 0 {
		return nil
	}
	if l.left--; l.left > 0 {
		return nil
	}
	l.dead = true
	close(l.over)
	return errDead
}

// end kills it at once and returns how many steps it had left.
func (l *life) end() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = true
	return l.left
}

// mortalJournal is a journal as a process with a life sees it.
type mortalJournal struct {
	runner.Journal
	life *life
}

func (m mortalJournal) take(what string, write func() error) error {
	if err := m.life.step(what); err != nil {
		return err
	}
	return write()
}

func (m mortalJournal) RaiseEpoch(e uint64) error {
	return m.take("raise epoch", func() error { return m.Journal.RaiseEpoch(e) })
}

func (m mortalJournal) Accept(t *agentv1.Task, at time.Time) (rec *storagev1.JournalTask, known bool, err error) {
	err = m.take("accept", func() (err error) { rec, known, err = m.Journal.Accept(t, at); return err })
	return rec, known, err
}

func (m mortalJournal) Reject(t *agentv1.Task, at time.Time, res *actionv1.TaskResult) (rec *storagev1.JournalTask, known bool, err error) {
	err = m.take("reject", func() (err error) { rec, known, err = m.Journal.Reject(t, at, res); return err })
	return rec, known, err
}

func (m mortalJournal) Start(k *agentv1.TaskKey, at time.Time, boot string) error {
	return m.take("start", func() error { return m.Journal.Start(k, at, boot) })
}

func (m mortalJournal) Rerun(k *agentv1.TaskKey, boot string) error {
	return m.take("rerun", func() error { return m.Journal.Rerun(k, boot) })
}

func (m mortalJournal) SavePlan(k *agentv1.TaskKey, p *actionv1.Plan) error {
	return m.take("plan", func() error { return m.Journal.SavePlan(k, p) })
}

func (m mortalJournal) EnterPhase(k *agentv1.TaskKey, p actionv1.Phase) error {
	return m.take("enter "+p.String(), func() error { return m.Journal.EnterPhase(k, p) })
}

func (m mortalJournal) SaveUndone(k *agentv1.TaskKey, u []*actionv1.Undo) error {
	return m.take("undone", func() error { return m.Journal.SaveUndone(k, u) })
}

func (m mortalJournal) SaveAnswer(k *agentv1.TaskKey, id string, a *actionv1.Confirmation) (kept *actionv1.Confirmation, err error) {
	err = m.take("answer "+id, func() (err error) { kept, err = m.Journal.SaveAnswer(k, id, a); return err })
	return kept, err
}

func (m mortalJournal) EffectIntent(k *agentv1.TaskKey, run uint32, e *actionv1.RecordedEffect) (n uint32, err error) {
	err = m.take("intent "+e.GetPlanId(), func() (err error) { n, err = m.Journal.EffectIntent(k, run, e); return err })
	return n, err
}

func (m mortalJournal) EffectOutcome(k *agentv1.TaskKey, n uint32, e *actionv1.RecordedEffect) error {
	return m.take("outcome "+e.GetPlanId(), func() error { return m.Journal.EffectOutcome(k, n, e) })
}

func (m mortalJournal) Finish(k *agentv1.TaskKey, res *actionv1.TaskResult, at time.Time) error {
	return m.take("finish", func() error { return m.Journal.Finish(k, res, at) })
}

func (m mortalJournal) FinishLeased(k *agentv1.TaskKey, res *actionv1.TaskResult, at time.Time, l *storagev1.JournalLease) error {
	return m.take("finish", func() error { return m.Journal.FinishLeased(k, res, at, l) })
}

func (m mortalJournal) PutLease(l *storagev1.JournalLease) error {
	return m.take("put lease", func() error { return m.Journal.PutLease(l) })
}

func (m mortalJournal) DropLease(id string) error {
	return m.take("drop lease", func() error { return m.Journal.DropLease(id) })
}

func (m mortalJournal) PutObligation(o *storagev1.Obligation) error {
	return m.take("put obligation", func() error { return m.Journal.PutObligation(o) })
}

func (m mortalJournal) DropObligation(resource string) error {
	return m.take("drop obligation", func() error { return m.Journal.DropObligation(resource) })
}
