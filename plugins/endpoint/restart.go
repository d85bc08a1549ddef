package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Values of the parameter mode.
const (
	modeRestart = "restart"
	modeEnsure  = "ensure-running"
)

// Ids of the planned effects.
const (
	effectStop       = "stop"
	effectEnd        = "end-process"
	effectStart      = "start"
	effectStartAgain = "start-again"
)

const (
	// sessionBudget is how long stop and start may take together before Lock When Away can lock the user's session: it locks
	// 30 s after the band was last close, with a warning 10 s before.
	sessionBudget = 25 * time.Second
	// endTimeout is how long an ended process may take to be gone.
	endTimeout = 5 * time.Second
	// pollEvery is how often a service that is on its way is looked at.
	pollEvery = time.Second
	// maxDuration is more than the longest course: settling, stop, end, start twice and the watch at their greatest, and probes.
	maxDuration = 10 * time.Minute
)

// restartParams are the parameters of every action that restarts a service.
func restartParams(defaultMode string) []*actionv1.Param {
	return []*actionv1.Param{
		sdk.Enum("mode", defaultMode, "restart: stop and start it; ensure-running: start it if it is stopped, restart it only if it hangs",
			modeRestart, modeEnsure),
		sdk.Duration("stop_timeout", 10*time.Second, 5*time.Second, time.Minute, "how long the service may take to stop"),
		sdk.Duration("start_timeout", 10*time.Second, 5*time.Second, time.Minute, "how long the service may take to start"),
		sdk.Duration("stable_for", 30*time.Second, 10*time.Second, 2*time.Minute, "how long it must keep running before success is claimed"),
		sdk.Bool("force_kill", false, "end the service's own process when it does not stop in time"),
		sdk.Bool("allow_in_session", false, "allow an interruption so long that the signed-in user's session may lock"),
	}
}

func restartBudget() []*actionv1.BudgetRule {
	return []*actionv1.BudgetRule{{
		Params: []string{"stop_timeout", "start_timeout"},
		Max:    durationpb.New(sessionBudget),
		Unless: "allow_in_session",
		Reason: "Lock When Away may lock the user's session after a longer interruption",
	}}
}

func restartCapabilities(service string) []*actionv1.Capability {
	return []*actionv1.Capability{sdk.ReadService(service), sdk.ControlService(service), sdk.EndService(service)}
}

// planRestart works out how to get the service running. hung says why a running service counts as hung, "" when it does not.
func planRestart(ctx context.Context, r *sdk.Run, service string, hung func() (string, error)) (*actionv1.Plan, error) {
	state, err := settled(ctx, r, service)
	if err != nil {
		return nil, err
	}
	if refusal := notStartable(state); refusal != nil {
		return refusal, nil
	}
	if state.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_STOPPED {
		return sdk.Ready(starts(r, state)...), nil
	}
	if r.String("mode") == modeRestart {
		return fullRestart(r, state), nil
	}
	if !running(state) {
		p := fullRestart(r, state)
		p.Warnings = append(p.Warnings, fmt.Sprintf("%q counts as hung: it has been %s for %s", service, statusWord(state), r.Duration("start_timeout")))
		return p, nil
	}
	why, err := hung()
	if err != nil {
		return nil, err
	}
	if why == "" {
		return sdk.NoChange(fmt.Sprintf("%q is running", service)), nil
	}
	p := fullRestart(r, state)
	p.Warnings = append(p.Warnings, fmt.Sprintf("%q counts as hung: %s", service, why))
	return p, nil
}

// settled reads the service; with mode ensure-running one that is starting or stopping gets start_timeout to arrive.
func settled(ctx context.Context, r *sdk.Run, service string) (*actionv1.ServiceState, error) {
	left := r.Duration("start_timeout")
	for {
		state, err := r.Service(ctx, service)
		if err != nil {
			return nil, err
		}
		onItsWay := state.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_STARTING ||
			state.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_STOPPING
		if !onItsWay || r.String("mode") != modeEnsure || left <= 0 {
			return state, nil
		}
		if err := r.Wait(ctx, pollEvery); err != nil {
			return nil, err
		}
		left -= pollEvery
	}
}

// notStartable returns the refusal for a service that cannot be started, nil for one that can.
func notStartable(s *actionv1.ServiceState) *actionv1.Plan {
	switch {
	case !s.GetInstalled():
		return sdk.Refuse(fmt.Sprintf("%q is not installed on this terminal", s.GetService()),
			"install the Nymi Runtime, then run this again")
	case s.GetDisabled():
		return sdk.Refuse(fmt.Sprintf("%q is disabled on this terminal", s.GetService()),
			"find out who disabled it and why; set its startup type to Automatic, then run this again")
	default:
		return nil
	}
}

// fullRestart stops and starts.
func fullRestart(r *sdk.Run, s *actionv1.ServiceState) *actionv1.Plan {
	stopTimeout := r.Duration("stop_timeout")
	effects := []*actionv1.PlannedEffect{
		sdk.Planned(effectStop, sdk.StopService(s.GetService(), stopTimeout), stateText(s), "stopped"),
	}
	if r.Bool("force_kill") {
		effects = append(effects, sdk.OnlyIf(fmt.Sprintf("it does not stop within %s", stopTimeout),
			sdk.Planned(effectEnd, sdk.KillService(s.GetService(), endTimeout), stateText(s), "stopped")))
	}
	p := sdk.Ready(append(effects, starts(r, s)...)...)
	if w := longInterruption(r); w != "" {
		p.Warnings = append(p.Warnings, w)
	}
	return p
}

// starts is the start and the one further try that a failed start gets.
func starts(r *sdk.Run, s *actionv1.ServiceState) []*actionv1.PlannedEffect {
	effect := sdk.StartService(s.GetService(), r.Duration("start_timeout"))
	return []*actionv1.PlannedEffect{
		sdk.Planned(effectStart, effect, "stopped", "running as a new process"),
		sdk.OnlyIf("the first start fails", sdk.Planned(effectStartAgain, effect, "stopped", "running as a new process")),
	}
}

// longInterruption warns when the course with every alternative exceeds the session's budget.
func longInterruption(r *sdk.Run) string {
	worst := r.Duration("stop_timeout") + 2*r.Duration("start_timeout")
	if r.Bool("force_kill") {
		worst += endTimeout
	}
	if worst <= sessionBudget {
		return ""
	}
	return fmt.Sprintf("at worst, if it stops late and needs a second start, it is interrupted for %s; after more than %s the user's session may lock", worst, sessionBudget)
}

// applyRestart carries out the plan of planRestart.
func applyRestart(ctx context.Context, r *sdk.ApplyRun, service string) error {
	if r.Planned(effectStop) != nil {
		if err := stop(ctx, r, service); err != nil {
			return err
		}
	}
	r.Progress("starting %q", service)
	first, err := r.Do(ctx, effectStart)
	if err != nil || first.GetError() == "" {
		return err
	}
	r.Progress("the first start failed (%s); trying once more", first.GetError())
	second, err := r.Do(ctx, effectStartAgain)
	if err != nil || second.GetError() == "" {
		return err
	}
	return sdk.Fail(fmt.Sprintf("%q did not start, tried twice: %s", service, second.GetError()),
		"look at the service's entries in the event log of this terminal; if it keeps failing, reinstall the Nymi Runtime")
}

// stop stops the service, ending its process when that is planned.
func stop(ctx context.Context, r *sdk.ApplyRun, service string) error {
	r.Progress("stopping %q", service)
	stopped, err := r.Do(ctx, effectStop)
	if err != nil || stopped.GetError() == "" {
		return err
	}
	if r.Planned(effectEnd) == nil {
		return sdk.Fail(fmt.Sprintf("%q did not stop within %s: %s", service, r.Duration("stop_timeout"), stopped.GetError()),
			"run this again with force_kill=true to end the service's process, or with a longer stop_timeout")
	}
	r.Progress("%q did not stop in time; ending its process", service)
	ended, err := r.Do(ctx, effectEnd)
	if err != nil || ended.GetError() == "" {
		return err
	}
	return sdk.Fail(fmt.Sprintf("the process of %q could not be ended: %s", service, ended.GetError()),
		"restart the terminal (action host-reboot)")
}

func running(s *actionv1.ServiceState) bool {
	return s.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_RUNNING
}

// statusWord is a service's status for people.
func statusWord(s *actionv1.ServiceState) string {
	switch s.GetStatus() {
	case actionv1.ServiceStatus_SERVICE_STATUS_STOPPED:
		return "stopped"
	case actionv1.ServiceStatus_SERVICE_STATUS_STARTING:
		return "starting"
	case actionv1.ServiceStatus_SERVICE_STATUS_RUNNING:
		return "running"
	case actionv1.ServiceStatus_SERVICE_STATUS_STOPPING:
		return "stopping"
	case actionv1.ServiceStatus_SERVICE_STATUS_PAUSED:
		return "paused"
	default:
		return "in an unknown state"
	}
}

// stateText is a service's state for people: "running (process 4242)".
func stateText(s *actionv1.ServiceState) string {
	if s.GetPid() == 0 {
		return statusWord(s)
	}
	return fmt.Sprintf("%s (process %d)", statusWord(s), s.GetPid())
}
