package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	endpointService = "Nymi Bluetooth Endpoint"
	serviceTimeout  = 10 * time.Second
)

// bounce restarts the Bluetooth Endpoint, and is done as soon as it runs.
type bounce struct{}

func (bounce) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name: "bounce", Version: "1.0.0", Summary: "Restart the endpoint", Description: "Use it in tests.",
		Undo: "The agent makes sure that the service runs.", Verifies: "The service runs as a new process.", Source: "own",
		Roles: []string{"user-terminal"}, Resources: []string{"ble"}, Disruptive: true, Interrupts: "Taps, for a moment.",
		Capabilities:  []*actionv1.Capability{sdk.ReadService(endpointService), sdk.ControlService(endpointService)},
		Repeatability: actionv1.Repeatability_REPEATABILITY_PROBE, MaxDuration: durationpb.New(time.Minute),
	}
}

func (bounce) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	s, err := r.Service(ctx, endpointService)
	if err != nil {
		return nil, err
	}
	start := sdk.Planned("start", sdk.StartService(endpointService, serviceTimeout), "stopped", "running")
	if s.GetPid() == 0 {
		return sdk.Ready(start), nil
	}
	stop := sdk.Planned("stop", sdk.StopService(endpointService, serviceTimeout), fmt.Sprintf("running (process %d)", s.GetPid()), "stopped")
	return sdk.Ready(stop, start), nil
}

func (bounce) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	if r.Planned("stop") != nil {
		if err := r.MustDo(ctx, "stop"); err != nil {
			return err
		}
	}
	return r.MustDo(ctx, "start")
}

func (bounce) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	s, err := r.Service(ctx, endpointService)
	if err != nil {
		return nil, err
	}
	renewed := s.GetPid() != 0 && s.GetPid() != r.Effect("stop").GetBefore().GetService().GetPid()
	return sdk.Verdict(sdk.Check("the endpoint runs", "a new process", fmt.Sprintf("process %d", s.GetPid()), renewed)), nil
}
