package main

import (
	"context"
	"fmt"
	"time"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Ids of the planned effects on the web server's service.
const (
	effectStopWeb       = "stop-iis"
	effectStartWeb      = "start-iis"
	effectStartWebAgain = "start-iis-again"
)

// webTimeout is how long the web server's service may take to stop and to start, settleFor how long it is watched.
const (
	webTimeout = time.Minute
	settleFor  = 10 * time.Second
)

// probeCapabilities are what neshost.Checks needs.
func probeCapabilities() []*actionv1.Capability {
	return []*actionv1.Capability{sdk.ReadIIS(), sdk.ReadSite(), sdk.ProbeInventory()}
}

// refuseUnlessRuns returns the refusal for a service that is needed and does not run, nil when it runs.
func refuseUnlessRuns(s *actionv1.ServiceState, next string) *actionv1.Plan {
	switch {
	case !s.GetInstalled():
		return sdk.Refuse(fmt.Sprintf("service %s is not installed on this terminal", s.GetService()), "run this on the NES host; if it is one, install IIS there first")
	case !running(s):
		return sdk.Refuse(fmt.Sprintf("service %s is %s", s.GetService(), stateText(s)), next)
	default:
		return nil
	}
}

// planWebRestart is one restart of the web server's service, with a second try of the start.
func planWebRestart(s *actionv1.ServiceState, timeout time.Duration) []*actionv1.PlannedEffect {
	start := sdk.StartService(neshost.WebService, timeout)
	return []*actionv1.PlannedEffect{
		sdk.Planned(effectStopWeb, sdk.StopService(neshost.WebService, timeout), stateText(s), "stopped"),
		sdk.Planned(effectStartWeb, start, "stopped", "running"),
		sdk.OnlyIf("the first start fails", sdk.Planned(effectStartWebAgain, start, "stopped", "running")),
	}
}

// applyWebRestart carries out planWebRestart.
func applyWebRestart(ctx context.Context, r *sdk.ApplyRun) error {
	r.Progress("restarting %s", neshost.WebService)
	rec, err := r.Do(ctx, effectStopWeb)
	if err != nil {
		return err
	}
	if rec.GetError() != "" {
		return sdk.Fail(fmt.Sprintf("%s did not stop: %s", neshost.WebService, rec.GetError()), "see in the event log of this host what holds it, then run this again")
	}
	return startTwice(ctx, r, neshost.WebService, effectStartWeb, effectStartWebAgain)
}

// startTwice starts a service and tries once more when the first start fails.
func startTwice(ctx context.Context, r *sdk.ApplyRun, service, first, again string) error {
	rec, err := r.Do(ctx, first)
	if err != nil || rec.GetError() == "" {
		return err
	}
	r.Progress("the first start of %s failed (%s); trying once more", service, rec.GetError())
	rec, err = r.Do(ctx, again)
	if err != nil || rec.GetError() == "" {
		return err
	}
	return sdk.Fail(fmt.Sprintf("%s did not start, tried twice: %s", service, rec.GetError()),
		"look at the entries of this service in the System event log of this host")
}

// checkRuns checks that a service runs and goes on running for a while. Its process is not compared: services of Windows share theirs.
func checkRuns(ctx context.Context, r *sdk.Run, service string, d time.Duration) (*actionv1.Check, error) {
	name, expected := service+" runs", fmt.Sprintf("running for %s", d)
	state, err := r.Service(ctx, service)
	if err != nil {
		return nil, err
	}
	if !running(state) {
		return sdk.Check(name, expected, stateText(state), false), nil
	}
	w, err := r.WatchService(ctx, service, 0, d)
	if err != nil {
		return nil, err
	}
	observed := fmt.Sprintf("%s for %s", stateText(w.GetState()), w.GetWatched().AsDuration().Round(100*time.Millisecond))
	return sdk.Check(name, expected, observed, w.GetStable()), nil
}

// checkDone checks that one of these effects came about.
func checkDone(r *sdk.VerifyRun, name string, ids ...string) *actionv1.Check {
	observed := "it was not tried"
	for _, id := range ids {
		rec := r.Effect(id)
		switch {
		case rec == nil:
		case rec.GetError() == "":
			return sdk.Check(name, "done", "done", true)
		default:
			observed = rec.GetError()
		}
	}
	return sdk.Check(name, "done", observed, false)
}

// checkAnswers probes the NES applications of this host; when it cannot, that is recorded and said, and proves nothing.
func checkAnswers(ctx context.Context, r *sdk.Run, apps []neshost.Application) (checks []*actionv1.Check, next string, err error) {
	checks, notProbed, err := neshost.Checks(ctx, r, apps)
	if err != nil || notProbed == "" {
		return checks, "", err
	}
	r.Evidence("probes", "not made: %s", notProbed)
	return nil, fmt.Sprintf("see by hand that the NES applications answer: %s", notProbed), nil
}
