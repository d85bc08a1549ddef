package sdk

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Ready is a plan with effects, in order.
func Ready(effects ...*actionv1.PlannedEffect) *actionv1.Plan {
	return &actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_READY, Effects: effects}
}

// NoChange is the plan of a machine that is in the wanted state. The agent still verifies.
func NoChange(reason string) *actionv1.Plan {
	return &actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_NO_CHANGE, Reason: reason}
}

// Refuse is the plan of a machine on which a precondition does not hold.
func Refuse(reason, nextStep string) *actionv1.Plan {
	return &actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_REFUSED, Reason: reason, NextStep: nextStep}
}

// Planned is an effect of a plan, with the state that was read and the state that is expected after, for people.
func Planned(id string, e *actionv1.Effect, before, after string) *actionv1.PlannedEffect {
	return &actionv1.PlannedEffect{Id: id, Effect: e, Before: before, After: after}
}

// OnlyIf makes a planned effect an alternative that is used under a condition, for people, and returns it.
func OnlyIf(condition string, p *actionv1.PlannedEffect) *actionv1.PlannedEffect {
	p.OnlyIf = condition
	return p
}

// StopService is the effect of asking a service to stop and waiting until it has.
func StopService(service string, timeout time.Duration) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_ServiceStop{ServiceStop: &actionv1.ServiceStop{
		Service: service, Timeout: durationpb.New(timeout)}}}
}

// StartService is the effect of starting a service and waiting until it runs.
func StartService(service string, timeout time.Duration) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_ServiceStart{ServiceStart: &actionv1.ServiceStart{
		Service: service, Timeout: durationpb.New(timeout)}}}
}

// KillService is the effect of ending a service's own process and waiting until the service is stopped.
func KillService(service string, timeout time.Duration) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_ServiceKill{ServiceKill: &actionv1.ServiceKill{
		Service: service, Timeout: durationpb.New(timeout)}}}
}

// Confirm is the effect of asking a person to confirm something and waiting for the answer. The prompt is 1 to 500 bytes, in words
// for the support desk; the timeout is 10 s to 24 h and less than the action's MaxDuration. No answer in time is a no.
func Confirm(prompt string, timeout time.Duration) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_Confirm{Confirm: &actionv1.Confirm{
		Prompt: prompt, Timeout: durationpb.New(timeout)}}}
}

// Check is one verification, for people: what was checked, what was expected, what was found.
func Check(name, expected, observed string, ok bool) *actionv1.Check {
	return &actionv1.Check{Name: name, Expected: expected, Observed: observed, Ok: ok}
}

// Verdict is the outcome of Verify: good when every check held. Set its NextStep when a person has something to do.
func Verdict(checks ...*actionv1.Check) *actionv1.Verdict { return &actionv1.Verdict{Checks: checks} }
