package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/params"
)

// phases runs Plan, Apply and Verify.
func (c *course) phases(ctx context.Context) (outcome, *failure) {
	if fail := c.launch(ctx); fail != nil {
		return outcome{}, fail
	}
	plan, fail := c.plan(ctx)
	if fail != nil {
		return outcome{}, fail
	}
	dry := c.rec.GetTask().GetDryRun()
	switch plan.GetVerdict() {
	case actionv1.PlanVerdict_PLAN_VERDICT_REFUSED:
		return outcome{actionv1.TaskStatus_TASK_STATUS_REFUSED, cmp.Or(plan.GetReason(), "the plugin gave no reason"), plan.GetNextStep()}, nil
	case actionv1.PlanVerdict_PLAN_VERDICT_NO_CHANGE:
		if dry {
			return outcome{status: actionv1.TaskStatus_TASK_STATUS_NO_CHANGE}, nil
		}
		return c.verify(ctx, actionv1.TaskStatus_TASK_STATUS_NO_CHANGE)
	}
	if dry {
		return outcome{status: actionv1.TaskStatus_TASK_STATUS_SUCCEEDED}, nil
	}
	if fail := c.apply(ctx); fail != nil {
		return outcome{}, fail
	}
	return c.verify(ctx, actionv1.TaskStatus_TASK_STATUS_SUCCEEDED)
}

// launch starts the plugin, once for a course.
func (c *course) launch(ctx context.Context) *failure {
	if c.plugin == nil {
		return &failure{reason: fmt.Sprintf("action %q is no longer offered by this terminal's plugins", c.rec.GetTask().GetAction()), unknown: true}
	}
	if wrong := otherPlugin(c.rec.GetTask(), c.plugin); wrong != nil {
		return wrong
	}
	resolved, err := params.Resolve(c.action, c.rec.GetTask().GetParams())
	if err != nil {
		return failed("%s", problems(err))
	}
	c.params = resolved
	process, err := contained(func() (Process, error) { return c.plugin.Launch(ctx, c.beginOutput()) })
	if err != nil {
		c.discard(c.whole)
		c.whole = nil
		var refused *RefusedError
		return &failure{
			reason: fmt.Sprintf("plugin %q did not start: %v", c.plugin.Name(), err), nextStep: "look at the plugin on the terminal, or install it again",
			refused: errors.As(err, &refused),
		}
	}
	c.process = process
	return nil
}

// closeProcess ends the plugin with its children and keeps what it wrote.
func (c *course) closeProcess() {
	if c.process == nil {
		return
	}
	if _, err := contained(func() (struct{}, error) { return struct{}{}, c.process.Close() }); err != nil {
		c.log.Warn("a plugin did not end cleanly", "plugin", c.plugin.Name(), "error", err)
	}
	c.keepOutput(c.process.Output())
	c.process = nil
}

func (c *course) plan(ctx context.Context) (*actionv1.Plan, *failure) {
	c.seeUsers(ctx)
	finish, fail := c.phase(ctx, &actionv1.Start{Phase: actionv1.Phase_PHASE_PLAN})
	if fail != nil {
		return nil, fail
	}
	plan := finish.GetPlan()
	if err := c.checkPlan(plan); err != nil {
		return nil, c.misbehaved("its plan was not taken: %v", err)
	}
	if fail := c.journalled(c.r.journal.SavePlan(c.key(), plan)); fail != nil {
		return nil, fail
	}
	c.rec.Plan = plan
	if fail := c.refusedByLease(plan); fail != nil {
		return nil, fail
	}
	return plan, nil
}

func (c *course) apply(ctx context.Context) *failure {
	if fail := c.journalled(c.r.journal.EnterPhase(c.key(), actionv1.Phase_PHASE_APPLY)); fail != nil {
		return fail
	}
	finish, fail := c.phase(ctx, &actionv1.Start{Phase: actionv1.Phase_PHASE_APPLY, Plan: c.rec.GetPlan()})
	if fail != nil {
		return fail
	}
	applied := finish.GetApplied()
	if applied == nil {
		return c.misbehaved("it ended the apply phase without saying how")
	}
	if !applied.GetOk() {
		return &failure{reason: cmp.Or(applied.GetReason(), "the plugin could not do what it planned"), nextStep: applied.GetNextStep()}
	}
	return nil
}

// verify asks the plugin whether the wanted state is there. good is the status when it is.
func (c *course) verify(ctx context.Context, good actionv1.TaskStatus) (outcome, *failure) {
	if fail := c.journalled(c.r.journal.EnterPhase(c.key(), actionv1.Phase_PHASE_VERIFY)); fail != nil {
		return outcome{}, fail
	}
	finish, fail := c.phase(ctx, &actionv1.Start{Phase: actionv1.Phase_PHASE_VERIFY, Effects: c.recorded(c.rec.GetRuns())})
	if fail != nil {
		return outcome{}, fail
	}
	verdict := finish.GetVerdict()
	if verdict == nil || len(verdict.GetChecks()) == 0 {
		return outcome{}, c.misbehaved("it verified nothing")
	}
	c.result.checked(verdict.GetChecks())
	if bad := failedChecks(verdict.GetChecks()); bad != "" {
		return outcome{}, &failure{reason: "verification failed: " + bad, nextStep: verdict.GetNextStep(), unknown: c.unsettled}
	}
	return outcome{status: good, nextStep: verdict.GetNextStep()}, nil
}

// phase drives one phase of the plugin and says why it did not end as it should.
func (c *course) phase(ctx context.Context, start *actionv1.Start) (*actionv1.Finish, *failure) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errEnded)
	start.Action = c.action.GetName()
	start.Params = c.params
	start.Terminal = c.r.place()
	calls := &phaseCalls{c: c, phase: start.GetPhase(), plan: c.rec.GetPlan(), ctx: ctx, stop: cancel}
	finish, err := contained(func() (*actionv1.Finish, error) { return c.process.Phase(ctx, proto.CloneOf(start), calls) })
	cause := context.Cause(ctx)
	calls.close()
	switch {
	case c.broken != nil:
		return nil, failed("%v", c.broken)
	case calls.refused != nil:
		return nil, c.misbehaved("%v", calls.refused)
	case errors.Is(cause, errDeadline):
		return nil, failed("it had not ended after %s, in the %s phase, and was stopped", c.duration(), phaseName(start.GetPhase()))
	case err == nil && finish != nil:
		return finish, nil
	case cause != nil:
		return nil, failed("the agent was stopped in the %s phase", phaseName(start.GetPhase()))
	case start.GetPhase() == actionv1.Phase_PHASE_PLAN && calls.lacking != nil:
		return notForThisMachine(calls.lacking), nil
	}
	return nil, c.misbehaved("it broke off in the %s phase: %v", phaseName(start.GetPhase()), err)
}

// notForThisMachine is the plan of a plugin that gave up because the machine has not what its action is about: a Linux terminal has no
// registry. That is no fault of the plugin.
func notForThisMachine(lacking error) *actionv1.Finish {
	return &actionv1.Finish{Finish: &actionv1.Finish_Plan{Plan: &actionv1.Plan{
		Verdict: actionv1.PlanVerdict_PLAN_VERDICT_REFUSED, Reason: lacking.Error(),
		NextStep: "the action is not for machines of this kind: leave this one out",
	}}}
}

func (c *course) misbehaved(format string, args ...any) *failure {
	return &failure{
		reason:   fmt.Sprintf("plugin %q: ", c.plugin.Name()) + fmt.Sprintf(format, args...),
		nextStep: "report it to whoever made the plugin, with its output",
	}
}

func phaseName(p actionv1.Phase) string {
	switch p {
	case actionv1.Phase_PHASE_PLAN:
		return "plan"
	case actionv1.Phase_PHASE_APPLY:
		return "apply"
	case actionv1.Phase_PHASE_VERIFY:
		return "verify"
	default:
		return "unknown"
	}
}
