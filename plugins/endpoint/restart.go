package main

import (
	"context"
	"fmt"
	"time"

	"github.com/bandfleet/bandfleet/plugins/bleservice"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Values of the parameter mode.
const (
	modeRestart = "restart"
	modeEnsure  = "ensure-running"
)

const (
	// pollEvery is how often a service that is on its way is looked at.
	pollEvery = time.Second
	// maxDuration is more than the longest course: settling, stop, end, start twice and the watch at their greatest, and probes.
	maxDuration = 10 * time.Minute
)

// restartParams are the parameters of every action here.
func restartParams(defaultMode string) []*actionv1.Param {
	params := []*actionv1.Param{
		sdk.Enum("mode", defaultMode, "restart: stop and start it; ensure-running: start it if it is stopped, restart it only if it hangs",
			modeRestart, modeEnsure),
	}
	return append(append(params, bleservice.Timing()...),
		sdk.Bool("force_kill", false, "end the service's own process when it does not stop in time"),
		bleservice.AllowInSession(),
	)
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
	if refusal := bleservice.NotStartable(state); refusal != nil {
		return refusal, nil
	}
	if bleservice.Stopped(state) {
		return sdk.Ready(restartOf(r, service).Start()...), nil
	}
	if r.String("mode") == modeRestart {
		return fullRestart(r, state), nil
	}
	if !bleservice.Running(state) {
		p := fullRestart(r, state)
		p.Warnings = append(p.Warnings, fmt.Sprintf("%q counts as hung: it has been %s for %s", service, bleservice.StatusWord(state), r.Duration("start_timeout")))
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

// restartOf is the restart that the parameters ask for.
func restartOf(r *sdk.Run, service string) bleservice.Restart {
	x := bleservice.RestartOf(r, service)
	x.End = r.Bool("force_kill")
	return x
}

// fullRestart stops and starts.
func fullRestart(r *sdk.Run, s *actionv1.ServiceState) *actionv1.Plan {
	x := restartOf(r, s.GetService())
	p := sdk.Ready(append(x.Stop(s), x.Start()...)...)
	p.Warnings = x.LongInterruption()
	return p
}

// applyRestart carries out the plan of planRestart.
func applyRestart(ctx context.Context, r *sdk.ApplyRun, service string) error {
	x := restartOf(&r.Run, service)
	if err := x.DoStop(ctx, r); err != nil {
		return err
	}
	return x.DoStart(ctx, r)
}
