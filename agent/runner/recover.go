package runner

import (
	"context"
	"fmt"
	"slices"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// maxRuns is how often a repeatable task is begun at most: once, and twice again after a crash.
const maxRuns = 3

// Recover queues what an earlier process left: first the tasks that were interrupted, then the obligations and the tasks that
// had not started. It must end before the first Dispatch: so whoever comes later waits for the locks of what was interrupted.
// The work itself is Run's, because it may take minutes after a start of the machine, and the server is to see this terminal
// meanwhile. A crash in it does no harm: it is done again.
func (r *Runner) Recover() error {
	recs, err := r.journal.OpenTasks()
	if err != nil {
		return err
	}
	obligations, err := r.journal.Obligations()
	if err != nil {
		return err
	}
	leases, err := r.journal.Leases()
	if err != nil {
		return err
	}
	r.letGo()
	r.endPrograms()
	bootWait := time.Now().Add(bootTimeout)
	for _, rec := range recs {
		if rec.GetState() != agentv1.TaskState_TASK_STATE_STARTED {
			continue
		}
		if err := r.takeUp(rec, bootWait); err != nil {
			return fmt.Errorf("task %q: %w", nameOf(rec.GetTask().GetKey()), err)
		}
	}
	for _, o := range obligations {
		r.awaitObligation(o, 0)
	}
	for _, l := range leases {
		if l.GetEnded() == nil {
			r.hold(l)
		}
	}
	for _, rec := range recs {
		switch k := rec.GetTask().GetKey(); {
		case rec.GetState() != agentv1.TaskState_TASK_STATE_ACCEPTED:
		case IsOwn(k):
			// Whether it is still wanted is for whoever asked for it to say.
			r.close(k, unstarted(actionv1.TaskStatus_TASK_STATUS_CANCELLED, "the agent was started again before it had begun", ""))
		default:
			r.enqueue(r.newEntry(rec.GetTask()))
		}
	}
	return nil
}

// endPrograms ends what an earlier process of the agent left running. A program that cannot be ended keeps nothing else from being put right.
func (r *Runner) endPrograms() {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	_, err := contained(func() (struct{}, error) { return struct{}{}, r.host.Programs.EndAll(ctx) })
	if err != nil {
		r.log.Warn("a program that an earlier process of the agent ran could not be ended; end it by hand", "error", err)
	}
}

// takeUp queues an interrupted task. It needs no permit: it has started.
func (r *Runner) takeUp(rec *storagev1.JournalTask, bootWait time.Time) error {
	c := r.newCourse(rec)
	c.result.recovered = true
	c.result.saw("interrupted", fmt.Sprintf("the agent ended in the %s phase of run %d and took the task up again", phaseName(rec.GetPhase()), rec.GetRuns()))
	var err error
	if c.effects, err = r.journal.Effects(c.key()); err != nil {
		return err
	}
	r.enqueue(&entry{
		task: rec.GetTask(), who: "job " + c.key().GetJobId(), claim: r.claimOf(rec.GetTask().GetAction()),
		run: func(ctx context.Context) { c.takeUp(ctx, bootWait) },
	})
	return nil
}

// takeUp settles an interrupted task, has what it had taken out of service work again, and takes it to its end.
func (c *course) takeUp(ctx context.Context, bootWait time.Time) {
	c.log.Info("a task that was interrupted is taken up", "phase", phaseName(c.rec.GetPhase()), "run", c.rec.GetRuns(), "effects", len(c.effects))
	c.endPressing(ctx)
	c.settle(ctx, bootWait)
	if ctx.Err() != nil && c.leaving() {
		return // the agent is to end while the machine has time to be back: the next process waits on
	}
	c.undo(ctx, outOfService)
	if c.broken == nil && ctx.Err() == nil {
		c.run(ctx, (*course).resume)
	}
}

// resume ends a task that was interrupted, as its action declares. Nothing is stopped any more; other changes stand until it is known
// whether they are to be kept.
func (c *course) resume(ctx context.Context) (outcome, *failure) {
	repeatability := c.action.GetRepeatability()
	if boot := c.awaitedBoot(); boot != nil {
		return c.afterBoot(ctx, boot.GetEffect())
	}
	switch {
	case c.onlyReads() || repeatability == actionv1.Repeatability_REPEATABILITY_REPEATABLE:
		return c.again(ctx)
	case c.didNothing() && c.rec.GetPlan().GetVerdict() == actionv1.PlanVerdict_PLAN_VERDICT_NO_CHANGE:
		return c.probe(ctx, actionv1.TaskStatus_TASK_STATUS_NO_CHANGE)
	case c.didNothing():
		return outcome{}, &failure{reason: "the agent was stopped before it had done anything", nextStep: "ask for the job again"}
	case repeatability == actionv1.Repeatability_REPEATABILITY_PROBE:
		return c.probe(ctx, actionv1.TaskStatus_TASK_STATUS_SUCCEEDED)
	}
	return outcome{}, &failure{reason: "the agent was stopped in the middle, and the action is not one to be repeated", unknown: true}
}

// afterBoot goes on at Verify when the machine was started again, which was the last thing to do, and says so when it was not.
func (c *course) afterBoot(ctx context.Context, boot *actionv1.RecordedEffect) (outcome, *failure) {
	if boot.GetError() != "" {
		return outcome{}, &failure{reason: boot.GetError(), nextStep: "look at the machine: something keeps it from being started again"}
	}
	return c.probe(ctx, actionv1.TaskStatus_TASK_STATUS_SUCCEEDED)
}

// didNothing says that no effect that could change the machine was begun: a person may have been asked, which changes nothing.
func (c *course) didNothing() bool {
	return !slices.ContainsFunc(c.effects, func(e *storagev1.JournalEffect) bool { return !changesNothing(e.GetEffect().GetEffect()) })
}

// onlyReads says whether running the task again can do no harm.
func (c *course) onlyReads() bool {
	return c.action != nil && (c.rec.GetTask().GetDryRun() || c.action.GetReadOnly())
}

// again puts back what an earlier run has changed and begins the task once more from its plan.
func (c *course) again(ctx context.Context) (outcome, *failure) {
	c.undo(ctx, anything)
	switch {
	case c.broken != nil:
		return outcome{}, failed("%v", c.broken)
	case slices.ContainsFunc(c.result.undone, notBack):
		return outcome{}, failed("the agent was stopped in the middle, and what was done could not be put back")
	case c.rec.GetRuns() >= maxRuns:
		return outcome{}, &failure{reason: fmt.Sprintf("the agent was stopped in the middle of each of %d runs", c.rec.GetRuns()), nextStep: "find out why the agent stops, then ask for the job again"}
	case c.r.expired(c.rec.GetTask()):
		return outcome{}, &failure{reason: "the agent was stopped in the middle, and the task's time was over when it ran again", nextStep: "ask for the job again"}
	}
	if fail := c.journalled(c.r.journal.Rerun(c.key(), c.r.cfg.BootID)); fail != nil {
		return outcome{}, fail
	}
	c.rec.Runs++
	c.rec.Plan = nil
	return c.phases(ctx)
}

func notBack(u *actionv1.Undo) bool { return !isBack(u) }

// isBack says whether a resource is as it is to be.
func isBack(u *actionv1.Undo) bool {
	return u.GetOutcome() == actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED || u.GetOutcome() == actionv1.UndoOutcome_UNDO_OUTCOME_DONE
}

// probe lets Verify decide whether the wanted state is there. Without a verdict nobody can say.
func (c *course) probe(ctx context.Context, good actionv1.TaskStatus) (outcome, *failure) {
	if fail := c.launch(ctx); fail != nil {
		fail.unknown = true
		return outcome{}, fail
	}
	out, fail := c.verify(ctx, good)
	if fail != nil && len(c.result.checks) == 0 {
		fail.unknown = true
	}
	return out, fail
}
