package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/rights"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// defaultDuration is the deadline of an action whose manifest names none.
const defaultDuration = 10 * time.Minute

// course is one task on its way from start to result.
type course struct {
	r      *Runner
	log    *slog.Logger
	rec    *storagev1.JournalTask
	action *actionv1.Action
	plugin Plugin
	params map[string]string
	// site is what the server said of the site, nil before it was asked.
	site *actionv1.Surroundings
	// process is the plugin while it runs, nil before and after; whole is where all that it writes goes, nil for nowhere.
	process Process
	whole   Whole
	// effects are those of all runs, in order; effect i has the number i+1 in the journal.
	effects []*storagev1.JournalEffect
	result  collector
	// unsettled says that nobody knows whether an effect of an interrupted run came about.
	unsettled bool
	// broken is why the journal could not be written.
	broken error
}

// failure is why a run did not succeed, before anything was put back.
type failure struct {
	reason   string
	nextStep string
	// unknown says that nobody can tell whether the wanted state is there.
	unknown bool
	// refused says that the run was not allowed to begin.
	refused bool
}

func failed(format string, args ...any) *failure {
	return &failure{reason: fmt.Sprintf(format, args...)}
}

// outcome is how a run ended well, or why it did not begin to do anything.
type outcome struct {
	status   actionv1.TaskStatus
	reason   string
	nextStep string
}

var (
	errDeadline = errors.New("the deadline has passed")
	errEnded    = errors.New("the phase has ended")
)

// begin starts a task whose permit and locks are there. An agent that is to end begins nothing: the task stays ACCEPTED.
func (r *Runner) begin(ctx context.Context, t *agentv1.Task) {
	if ctx.Err() != nil {
		return
	}
	if refusal := r.judge(t); refusal != nil {
		r.close(t.GetKey(), refusal)
		return
	}
	if err := r.countRemedy(t); err != nil {
		r.fail(err)
		return
	}
	now := time.Now()
	if err := r.journal.Start(t.GetKey(), now, r.cfg.BootID); err != nil {
		r.fail(err)
		return
	}
	r.report().Started(t.GetKey(), now)
	rec := &storagev1.JournalTask{Task: t, Runs: 1, BootId: r.cfg.BootID, Started: stamp(now)}
	r.newCourse(rec).run(ctx, (*course).phases)
}

// newCourse finds what a started task needs. Without its plugin (it was taken away since) it can only be put back.
func (r *Runner) newCourse(rec *storagev1.JournalTask) *course {
	c := &course{r: r, rec: rec, log: r.log.With("task", nameOf(rec.GetTask().GetKey()), "action", rec.GetTask().GetAction())}
	c.result.undone = rec.GetUndone()
	if plugin, action, ok := r.plugins.Find(rec.GetTask().GetAction()); ok {
		c.plugin, c.action = plugin, action
	}
	return c
}

func (c *course) key() *agentv1.TaskKey { return c.rec.GetTask().GetKey() }

// run takes the course to its result. When ctx ends first, or the journal fails, what was stopped is put back and the task
// stays STARTED in the journal: the next process settles it.
func (c *course) run(ctx context.Context, way func(*course, context.Context) (outcome, *failure)) {
	out, fail := c.attempt(ctx, way)
	c.closeProcess()
	if ctx.Err() != nil && c.leaving() {
		c.log.Info("the machine is being started again; the task goes on after it")
		return
	}
	if fail == nil {
		fail = c.leftStopped(ctx)
	}
	if fail != nil {
		c.undo(ctx, anything)
	}
	if c.broken != nil || (fail != nil && ctx.Err() != nil) {
		c.log.Warn("task was interrupted; it is settled when the agent runs again", "reason", reasonOf(fail))
		return
	}
	c.end(out, fail)
}

// end makes the result, and the lease of what is to end by itself.
func (c *course) end(out outcome, fail *failure) {
	result := c.finish(out, fail)
	var lease *storagev1.JournalLease
	if fail == nil && out.status == actionv1.TaskStatus_TASK_STATUS_SUCCEEDED {
		lease = c.leaseOf(time.Now())
	}
	if lease == nil {
		c.r.close(c.key(), result)
		return
	}
	result.Leases = []*actionv1.LeaseState{c.r.leaseState(lease)}
	c.r.closeLeased(result, lease)
}

// attempt runs the way within the deadline. A panic is a failure like another: what was done is still put back.
func (c *course) attempt(ctx context.Context, way func(*course, context.Context) (outcome, *failure)) (out outcome, fail *failure) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.duration(), errDeadline)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("panic while a task ran", "panic", p, "stack", string(debug.Stack()))
			fail = &failure{reason: fmt.Sprintf("internal error of the agent: %v", p), nextStep: "send the agent's log to support"}
		}
	}()
	return way(c, ctx)
}

// duration is the time from start to result, before anything is put back.
func (c *course) duration() time.Duration {
	limit := c.r.cfg.MaxDuration
	if rights.Declares(c.action, &actionv1.Capability{Kind: actionv1.CapabilityKind_CAPABILITY_KIND_PERSON_CONFIRM}) {
		limit += mostConfirm
	}
	if rights.Declares(c.action, &actionv1.Capability{Kind: actionv1.CapabilityKind_CAPABILITY_KIND_REBOOT}) {
		limit += mostReboot
	}
	return min(declaredDuration(c.action), limit)
}

// declaredDuration is the time that an action declares.
func declaredDuration(a *actionv1.Action) time.Duration {
	if d := a.GetMaxDuration().AsDuration(); d > 0 {
		return d
	}
	return defaultDuration
}

// journalled notes a write that failed. Nothing more may be done to the machine then but to put back what was stopped.
func (c *course) journalled(err error) *failure {
	if err == nil {
		return nil
	}
	c.broken = err
	c.r.fail(err)
	return failed("the agent's journal cannot be written: %v", err)
}

// recorded returns the effects of one run.
func (c *course) recorded(run uint32) []*actionv1.RecordedEffect {
	var effects []*actionv1.RecordedEffect
	for _, e := range c.effects {
		if e.GetRun() == run {
			effects = append(effects, e.GetEffect())
		}
	}
	return effects
}

// records returns the effects of all runs.
func (c *course) records() []*actionv1.RecordedEffect {
	var effects []*actionv1.RecordedEffect
	for _, e := range c.effects {
		effects = append(effects, e.GetEffect())
	}
	return effects
}

// contained turns a panic into an error.
func contained[T any](fn func() (T, error)) (result T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return fn()
}
