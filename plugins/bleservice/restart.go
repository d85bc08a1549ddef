package bleservice

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Ids of the planned effects.
const (
	EffectStop       = "stop"
	EffectEnd        = "end-process"
	EffectStart      = "start"
	EffectStartAgain = "start-again"
)

const (
	// sessionBudget is how long stop and start may take together before Lock When Away can lock the user's session: it locks
	// 30 s after the band was last close, with a warning 10 s before.
	sessionBudget = 25 * time.Second
	// endTimeout is how long an ended process may take to be gone.
	endTimeout = 5 * time.Second
)

// Timing are the parameters of every action that restarts a service: how long it may take, and how long it must hold.
func Timing() []*actionv1.Param {
	return []*actionv1.Param{
		sdk.Duration("stop_timeout", 10*time.Second, 5*time.Second, time.Minute, "how long the service may take to stop"),
		sdk.Duration("start_timeout", 10*time.Second, 5*time.Second, time.Minute, "how long the service may take to start"),
		sdk.Duration("stable_for", 30*time.Second, 10*time.Second, 2*time.Minute, "how long it must keep running before success is claimed"),
	}
}

// AllowInSession is the parameter that lifts Budget.
func AllowInSession() *actionv1.Param {
	return sdk.Bool("allow_in_session", false, "allow an interruption so long that the signed-in user's session may lock")
}

// Budget keeps stop and start short enough for a signed-in user.
func Budget() []*actionv1.BudgetRule {
	return []*actionv1.BudgetRule{{
		Params: []string{"stop_timeout", "start_timeout"},
		Max:    durationpb.New(sessionBudget),
		Unless: "allow_in_session",
		Reason: "Lock When Away may lock the user's session after a longer interruption",
	}}
}

// Restart is the stop and start of a service.
type Restart struct {
	Service                   string
	StopTimeout, StartTimeout time.Duration
	// End says that the service's own process is ended when it does not stop in time.
	End bool
}

// RestartOf reads a Restart from the parameters of Timing.
func RestartOf(r *sdk.Run, service string) Restart {
	return Restart{Service: service, StopTimeout: r.Duration("stop_timeout"), StartTimeout: r.Duration("start_timeout")}
}

// Stop plans the stop of a service that is in this state.
func (x Restart) Stop(s *actionv1.ServiceState) []*actionv1.PlannedEffect {
	effects := []*actionv1.PlannedEffect{
		sdk.Planned(EffectStop, sdk.StopService(x.Service, x.StopTimeout), StateText(s), "stopped"),
	}
	if x.End {
		effects = append(effects, sdk.OnlyIf(fmt.Sprintf("it does not stop within %s", x.StopTimeout),
			sdk.Planned(EffectEnd, sdk.KillService(x.Service, endTimeout), StateText(s), "stopped")))
	}
	return effects
}

// Start plans the start and the one further try that a failed start gets.
func (x Restart) Start() []*actionv1.PlannedEffect {
	effect := sdk.StartService(x.Service, x.StartTimeout)
	return []*actionv1.PlannedEffect{
		sdk.Planned(EffectStart, effect, "stopped", "running as a new process"),
		sdk.OnlyIf("the first start fails", sdk.Planned(EffectStartAgain, effect, "stopped", "running as a new process")),
	}
}

// LongInterruption warns when the course with every alternative exceeds the session's budget.
func (x Restart) LongInterruption() []string {
	worst := x.StopTimeout + 2*x.StartTimeout
	if x.End {
		worst += endTimeout
	}
	if worst <= sessionBudget {
		return nil
	}
	return []string{fmt.Sprintf(
		"at worst, if it stops late and needs a second start, it is interrupted for %s; after more than %s the user's session may lock", worst, sessionBudget)}
}

// DoStop stops the service as planned, ending its process when that is planned. A plan without a stop is fine: it was stopped then.
func (x Restart) DoStop(ctx context.Context, r *sdk.ApplyRun) error {
	if r.Planned(EffectStop) == nil {
		return nil
	}
	r.Progress("stopping %q", x.Service)
	stopped, err := r.Do(ctx, EffectStop)
	if err != nil || stopped.GetError() == "" {
		return err
	}
	if r.Planned(EffectEnd) == nil {
		return x.notStopped(stopped.GetError())
	}
	r.Progress("%q did not stop in time; ending its process", x.Service)
	ended, err := r.Do(ctx, EffectEnd)
	if err != nil || ended.GetError() == "" {
		return err
	}
	return sdk.Fail(fmt.Sprintf("the process of %q could not be ended: %s", x.Service, ended.GetError()),
		"restart the terminal (action host-reboot)")
}

func (x Restart) notStopped(why string) error {
	return sdk.Fail(fmt.Sprintf("%q did not stop within %s: %s", x.Service, x.StopTimeout, why),
		"run ble-restart or nymi-agent-restart with force_kill=true to end the service's process, or allow a longer stop_timeout")
}

// DoStart starts the service as planned, twice if need be.
func (x Restart) DoStart(ctx context.Context, r *sdk.ApplyRun) error {
	r.Progress("starting %q", x.Service)
	first, err := r.Do(ctx, EffectStart)
	if err != nil || first.GetError() == "" {
		return err
	}
	r.Progress("the first start failed (%s); trying once more", first.GetError())
	second, err := r.Do(ctx, EffectStartAgain)
	if err != nil || second.GetError() == "" {
		return err
	}
	return sdk.Fail(fmt.Sprintf("%q did not start, tried twice: %s", x.Service, second.GetError()),
		"look at the service's entries in the event log of this terminal; if it keeps failing, reinstall the Nymi Runtime")
}
