package main

import (
	"context"

	"github.com/bandfleet/bandfleet/plugins/bleservice"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// verifyService checks that the service runs, as a new process when a restart was asked for, and keeps running.
func verifyService(ctx context.Context, r *sdk.VerifyRun, service string) ([]*actionv1.Check, error) {
	checks, state, err := bleservice.VerifyRuns(ctx, r, service)
	if err != nil {
		return nil, err
	}
	if c := newProcess(r, service, state); c != nil {
		checks = append(checks, c)
	}
	return checks, nil
}

// newProcess compares with the process before the first effect; nil when no restart was asked for and none was done.
func newProcess(r *sdk.VerifyRun, service string, now *actionv1.ServiceState) *actionv1.Check {
	switch {
	case len(r.Effects()) > 0:
		return bleservice.NewProcess(r, service, now)
	case r.String("mode") == modeRestart:
		return sdk.Check("its process is new", "a restart was done", "no effect was recorded", false)
	default:
		return nil
	}
}
