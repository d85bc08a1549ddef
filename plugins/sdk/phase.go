package sdk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/params"
)

// A BadStartError says that a phase cannot begin: an unknown phase, or parameters that the manifest does not allow.
type BadStartError struct{ Cause error }

// Error implements error.
func (e *BadStartError) Error() string { return e.Cause.Error() }

// Unwrap returns the cause.
func (e *BadStartError) Unwrap() error { return e.Cause }

// RunPhase runs one phase of an action and returns its Finish. Serve calls it for each run's stream; tests call it directly.
// The parameters are checked again here, and a panic of the action becomes an error.
func RunPhase(ctx context.Context, a Action, start *actionv1.Start, calls Calls) (_ *actionv1.Finish, err error) {
	m := a.Manifest()
	resolved, err := params.Resolve(m, start.GetParams())
	if err != nil {
		return nil, &BadStartError{err}
	}
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n\n%s", p, debug.Stack())
			err = fmt.Errorf("action %q: the plugin has a bug: panic in %s: %v; report it with the output", m.GetName(), phaseName(start.GetPhase()), p)
		}
	}()
	r := Run{action: m, params: resolved, terminal: start.GetTerminal(), calls: calls}
	switch start.GetPhase() {
	case actionv1.Phase_PHASE_PLAN:
		return plan(ctx, a, &r)
	case actionv1.Phase_PHASE_APPLY:
		return apply(ctx, a, &ApplyRun{Run: r, plan: start.GetPlan()})
	case actionv1.Phase_PHASE_VERIFY:
		return verify(ctx, a, &VerifyRun{Run: r, effects: start.GetEffects()})
	default:
		return nil, &BadStartError{fmt.Errorf("action %q: phase %v is not known to this plugin", m.GetName(), start.GetPhase())}
	}
}

func phaseName(p actionv1.Phase) string {
	switch p {
	case actionv1.Phase_PHASE_PLAN:
		return "plan"
	case actionv1.Phase_PHASE_APPLY:
		return "apply"
	default:
		return "verify"
	}
}

func plan(ctx context.Context, a Action, r *Run) (*actionv1.Finish, error) {
	p, err := a.Plan(ctx, r)
	if err != nil {
		return nil, err
	}
	return &actionv1.Finish{Finish: &actionv1.Finish_Plan{Plan: p}}, nil
}

// apply turns the action's own failure into an Applied. When the agent gave up, there is nobody to tell.
func apply(ctx context.Context, a Action, r *ApplyRun) (*actionv1.Finish, error) {
	err := a.Apply(ctx, r)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	applied := &actionv1.Applied{Ok: err == nil}
	if err != nil {
		applied.Reason, applied.NextStep = reasonOf(err)
	}
	return &actionv1.Finish{Finish: &actionv1.Finish_Applied{Applied: applied}}, nil
}

// verify turns an error into a check that did not hold: what could not be verified is not verified.
func verify(ctx context.Context, a Action, r *VerifyRun) (*actionv1.Finish, error) {
	v, err := a.Verify(ctx, r)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		reason, next := reasonOf(err)
		v = Verdict(Check("verification", "could be carried out", reason, false))
		v.NextStep = next
	}
	return &actionv1.Finish{Finish: &actionv1.Finish_Verdict{Verdict: v}}, nil
}

func reasonOf(err error) (reason, nextStep string) {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Reason, f.NextStep
	}
	return err.Error(), ""
}
