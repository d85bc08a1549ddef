package runner

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

var errCrashed = errors.New("this process is dead")

// life is how long one process of the agent lives: until its n-th step, which is a write to the journal or a deed on the
// machine. A dead process can neither write nor do anything.
type life struct {
	mu sync.Mutex
	// left counts the steps until death; 0 and less means that it does not die.
	left int
	// after has the last step be done before death.
	after bool
	dead  bool
	steps int
	// did is what was done, for messages.
	did []string
}

func (l *life) step(what string, do func() error) error {
	l.mu.Lock()
	if l.dead {
		l.mu.Unlock()
		return errCrashed
	}
	l.steps++
	l.left--
	last := l.left == 0
	l.dead = last
	l.did = append(l.did, what)
	l.mu.Unlock()
	if last && !l.after {
		return errCrashed
	}
	if err := do(); err != nil || !last {
		return err
	}
	return errCrashed
}

func (l *life) died() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

// mortalJournal is a journal as a process with a life sees it.
type mortalJournal struct {
	Journal
	life *life
}

func (m mortalJournal) RaiseEpoch(e uint64) error {
	return m.life.step("raise epoch", func() error { return m.Journal.RaiseEpoch(e) })
}

func (m mortalJournal) Accept(t *agentv1.Task, at time.Time) (rec *storagev1.JournalTask, known bool, err error) {
	err = m.life.step("accept", func() (err error) { rec, known, err = m.Journal.Accept(t, at); return err })
	return rec, known, err
}

func (m mortalJournal) Reject(t *agentv1.Task, at time.Time, res *actionv1.TaskResult) (rec *storagev1.JournalTask, known bool, err error) {
	err = m.life.step("reject", func() (err error) { rec, known, err = m.Journal.Reject(t, at, res); return err })
	return rec, known, err
}

func (m mortalJournal) Start(k *agentv1.TaskKey, at time.Time, boot string) error {
	return m.life.step("start", func() error { return m.Journal.Start(k, at, boot) })
}

func (m mortalJournal) Rerun(k *agentv1.TaskKey, boot string) error {
	return m.life.step("rerun", func() error { return m.Journal.Rerun(k, boot) })
}

func (m mortalJournal) SavePlan(k *agentv1.TaskKey, p *actionv1.Plan) error {
	return m.life.step("plan", func() error { return m.Journal.SavePlan(k, p) })
}

func (m mortalJournal) EnterPhase(k *agentv1.TaskKey, p actionv1.Phase) error {
	return m.life.step("enter "+phaseName(p), func() error { return m.Journal.EnterPhase(k, p) })
}

func (m mortalJournal) SaveUndone(k *agentv1.TaskKey, u []*actionv1.Undo) error {
	return m.life.step("undone", func() error { return m.Journal.SaveUndone(k, u) })
}

func (m mortalJournal) SaveAnswer(k *agentv1.TaskKey, id string, a *actionv1.Confirmation) (kept *actionv1.Confirmation, err error) {
	err = m.life.step("answer "+id, func() (err error) { kept, err = m.Journal.SaveAnswer(k, id, a); return err })
	return kept, err
}

func (m mortalJournal) EffectIntent(k *agentv1.TaskKey, run uint32, e *actionv1.RecordedEffect) (n uint32, err error) {
	err = m.life.step("intent "+e.GetPlanId(), func() (err error) { n, err = m.Journal.EffectIntent(k, run, e); return err })
	return n, err
}

func (m mortalJournal) EffectOutcome(k *agentv1.TaskKey, n uint32, e *actionv1.RecordedEffect) error {
	return m.life.step("outcome "+e.GetPlanId(), func() error { return m.Journal.EffectOutcome(k, n, e) })
}

func (m mortalJournal) Finish(k *agentv1.TaskKey, res *actionv1.TaskResult, at time.Time) error {
	return m.life.step("finish", func() error { return m.Journal.Finish(k, res, at) })
}

func (m mortalJournal) FinishLeased(k *agentv1.TaskKey, res *actionv1.TaskResult, at time.Time, l *storagev1.JournalLease) error {
	return m.life.step("finish", func() error { return m.Journal.FinishLeased(k, res, at, l) })
}

func (m mortalJournal) PutLease(l *storagev1.JournalLease) error {
	return m.life.step("put lease", func() error { return m.Journal.PutLease(l) })
}

func (m mortalJournal) DropLease(id string) error {
	return m.life.step("drop lease", func() error { return m.Journal.DropLease(id) })
}

func (m mortalJournal) PutObligation(o *storagev1.Obligation) error {
	return m.life.step("put obligation", func() error { return m.Journal.PutObligation(o) })
}

func (m mortalJournal) DropObligation(resource string) error {
	return m.life.step("drop obligation", func() error { return m.Journal.DropObligation(resource) })
}

// mortalServices are the machine's services as a process with a life sees them.
type mortalServices struct {
	host.Services
	life *life
}

func (m mortalServices) State(ctx context.Context, name string) (*actionv1.ServiceState, error) {
	if m.life.died() {
		return nil, errCrashed
	}
	return m.Services.State(ctx, name)
}

func (m mortalServices) Stop(ctx context.Context, name string) error {
	return m.life.step("STOP", func() error { return m.Services.Stop(ctx, name) })
}

func (m mortalServices) Start(ctx context.Context, name string) error {
	return m.life.step("START", func() error { return m.Services.Start(ctx, name) })
}

func (m mortalServices) Kill(ctx context.Context, name string, pid uint32) error {
	return m.life.step("KILL", func() error { return m.Services.Kill(ctx, name, pid) })
}

// mortalFiles and mortalRegistry are the machine's files and registry as a process with a life sees them.
type mortalFiles struct {
	host.Files
	life *life
}

func (m mortalFiles) Write(ctx context.Context, root, path string, content []byte) error {
	return m.life.step("WRITE", func() error { return m.Files.Write(ctx, root, path, content) })
}

func (m mortalFiles) Remove(ctx context.Context, root, path string) error {
	return m.life.step("REMOVE", func() error { return m.Files.Remove(ctx, root, path) })
}

type mortalRegistry struct {
	host.Registry
	life *life
}

func (m mortalRegistry) Set(ctx context.Context, key, value, data string) error {
	return m.life.step("SET", func() error { return m.Registry.Set(ctx, key, value, data) })
}

func (m mortalRegistry) Delete(ctx context.Context, key, value string) error {
	return m.life.step("DELETE", func() error { return m.Registry.Delete(ctx, key, value) })
}

func (m mortalRegistry) Prune(ctx context.Context, key string, keep uint32) error {
	return m.life.step("PRUNE", func() error { return m.Registry.Prune(ctx, key, keep) })
}

// live has one process of the agent run until it dies, or until it has had time for everything. The server delivers the task
// again and permits it, as it would.
func (b *bench) live(l *life, task *agentv1.Task) {
	whole, machine := b.journal, b.host
	defer func() { b.journal, b.host = whole, machine }()
	mortal := *machine
	mortal.Services = mortalServices{machine.Services, l}
	mortal.Files, mortal.Registry = mortalFiles{machine.Files, l}, mortalRegistry{machine.Registry, l}
	b.journal, b.host = mortalJournal{whole, l}, &mortal
	b.make()
	if err := b.runner.Recover(); err != nil {
		if !l.died() {
			b.t.Fatalf("recovery: %v", err)
		}
		return
	}
	b.run()
	if err := b.runner.Dispatch(b.t.Context(), &agentv1.Dispatch{Task: task}); err != nil && !l.died() {
		b.t.Fatal(err)
	}
	b.permit(task)
	time.Sleep(20 * time.Minute)
	if err := b.stop(); err != nil && !l.died() {
		b.t.Errorf("Run: %v", err)
	}
}
