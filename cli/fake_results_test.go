package cli

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const fakeService = "Nymi Bluetooth Endpoint"

func fakeResult(outcome string, dryRun bool) *actionv1.TaskResult {
	r := &actionv1.TaskResult{Status: actionv1.TaskStatus_TASK_STATUS_SUCCEEDED, Started: at(time.Second), Finished: at(6 * time.Second),
		Plugin: "endpoint", PluginVersion: "1.0.0", PluginSha256: "0123456789abcdef", Plan: fakePlan(), Runs: 1}
	switch {
	case outcome == "sick":
		r.Plan, r.Findings = &actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_READY}, sickFindings()
	case outcome == "healthy":
		r.Plan, r.Findings = &actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_READY}, sickFindings()[:1]
	case outcome == "refused":
		r.Status, r.Plan = actionv1.TaskStatus_TASK_STATUS_REFUSED, nil
		r.Reason, r.NextStep = "its plugins do not offer ble-restart", "install the endpoint plugin"
	case dryRun:
		r.UserSessions = []*actionv1.UserSession{{User: `PLANT\anna`, Activity: actionv1.UserActivity_USER_ACTIVITY_ACTIVE}}
	case outcome == "failed":
		r.Status, r.Reason, r.NextStep = actionv1.TaskStatus_TASK_STATUS_FAILED, "verification failed: the service runs: expected running for 30s, observed stopped after 5s", "look at its log"
		r.Effects = fakeEffects()
		r.Checks = []*actionv1.Check{{Name: "the service runs", Expected: "running for 30s", Observed: "stopped after 5s"}}
		r.Undone = []*actionv1.Undo{{Resource: "service " + fakeService, Outcome: actionv1.UndoOutcome_UNDO_OUTCOME_DONE}}
	case outcome == "hangs":
		r.Status, r.NextStep = actionv1.TaskStatus_TASK_STATUS_ROLLBACK_FAILED, "run this again with force_kill=true"
		r.Reason = `"Nymi Bluetooth Endpoint" did not stop within 10s: service "Nymi Bluetooth Endpoint": did not get there in time`
		r.Effects = fakeEffects()[:1]
		r.Effects[0].Error, r.Effects[0].After = "did not get there in time", r.Effects[0].GetBefore()
		r.Undone = []*actionv1.Undo{{Resource: "service " + fakeService, Outcome: actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION, Reason: "it is still stopping"},
			{Resource: "service Nymi Agent", Outcome: actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION, Reason: "did not get there in time"}}
		r.Interruptions = []*actionv1.Interruption{
			{Service: fakeService, Duration: durationpb.New(56 * time.Millisecond)},
			{Service: fakeService, Duration: durationpb.New(20 * time.Second), Ongoing: true},
		}
	case outcome == "hostile":
		r.Status = actionv1.TaskStatus_TASK_STATUS_FAILED
		r.Reason = "bad\x1b[2J\x1b]0;owned\x07\nfleetctl: job-1: 5 targets succeeded\u202e"
		r.Output = "line one\r\n\x1b[31mred"
	default:
		r.Effects = fakeEffects()
		r.Interruptions = []*actionv1.Interruption{{Service: fakeService, Duration: durationpb.New(4200 * time.Millisecond)}}
		r.Checks = []*actionv1.Check{{Name: "process id is new", Expected: "not 412", Observed: "977", Ok: true}}
		r.Evidence = []*actionv1.Evidence{{Name: "adapter", Value: "present"}}
	}
	return r
}

func fakePlan() *actionv1.Plan {
	stop := &actionv1.Effect{Effect: &actionv1.Effect_ServiceStop{ServiceStop: &actionv1.ServiceStop{Service: fakeService, Timeout: durationpb.New(10 * time.Second)}}}
	kill := &actionv1.Effect{Effect: &actionv1.Effect_ServiceKill{ServiceKill: &actionv1.ServiceKill{Service: fakeService, Timeout: durationpb.New(5 * time.Second)}}}
	start := &actionv1.Effect{Effect: &actionv1.Effect_ServiceStart{ServiceStart: &actionv1.ServiceStart{Service: fakeService, Timeout: durationpb.New(10 * time.Second)}}}
	return &actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_READY, Effects: []*actionv1.PlannedEffect{
		{Id: "stop", Effect: stop, Before: "running", After: "stopped"},
		{Id: "kill", Effect: kill, OnlyIf: "it does not stop within 10s"},
		{Id: "start", Effect: start, Before: "stopped", After: "running"},
	}}
}

func fakeEffects() []*actionv1.RecordedEffect {
	state := func(status actionv1.ServiceStatus, pid uint32) *actionv1.State {
		return &actionv1.State{State: &actionv1.State_Service{Service: &actionv1.ServiceState{Service: fakeService, Installed: true, Status: status, Pid: pid}}}
	}
	plan := fakePlan().GetEffects()
	running, stopped := actionv1.ServiceStatus_SERVICE_STATUS_RUNNING, actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
	return []*actionv1.RecordedEffect{
		{PlanId: "stop", Effect: plan[0].GetEffect(), Changed: true, Before: state(running, 412), After: state(stopped, 0), Started: at(time.Second), Finished: at(3 * time.Second)},
		{PlanId: "start", Effect: plan[2].GetEffect(), Changed: true, Before: state(stopped, 0), After: state(running, 977), Started: at(3 * time.Second), Finished: at(5 * time.Second)},
	}
}
