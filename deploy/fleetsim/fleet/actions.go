package fleet

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// The names of the simulated actions. RestartAction has the name of the real one, so that what people type works here too.
const (
	RestartAction = "ble-restart"
	CheckAction   = "sim-check"
)

const (
	effectStop  = "stop"
	effectStart = "start"
)

// restart is a small ble-restart: stop, start, and keep running.
type restart struct{}

// Manifest implements sdk.Action.
func (restart) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name: RestartAction, Version: "1.0.0", Summary: "Restart the Bluetooth Endpoint of a simulated terminal",
		Description: "Stops the simulated service, starts it and watches that it keeps running.",
		Params: []*actionv1.Param{
			sdk.Duration("stop_timeout", 10*time.Second, time.Second, time.Minute, "how long the service may take to stop"),
			sdk.Duration("start_timeout", 10*time.Second, time.Second, time.Minute, "how long the service may take to start"),
			sdk.Duration("stable_for", 2*time.Second, 0, 2*time.Minute, "how long it must keep running before success is claimed"),
		},
		Capabilities:  []*actionv1.Capability{sdk.ReadService(host.EndpointService), sdk.ControlService(host.EndpointService)},
		Repeatability: actionv1.Repeatability_REPEATABILITY_PROBE, Resources: []string{"ble"}, Roles: []string{"user-terminal"},
		Disruptive: true, Interrupts: "Nothing real.", Undo: "The service is started again.", Verifies: "The service runs as a new process and keeps running.",
		Source: "None: it is for simulated fleets.", MaxDuration: durationpb.New(5 * time.Minute),
	}
}

// Plan implements sdk.Action.
func (restart) Plan(_ context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	return sdk.Ready(
		sdk.Planned(effectStop, sdk.StopService(host.EndpointService, r.Duration("stop_timeout")), "running", "stopped"),
		sdk.Planned(effectStart, sdk.StartService(host.EndpointService, r.Duration("start_timeout")), "stopped", "running as a new process"),
	), nil
}

// Apply implements sdk.Action.
func (restart) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	if err := r.MustDo(ctx, effectStop); err != nil {
		return err
	}
	return r.MustDo(ctx, effectStart)
}

// Verify implements sdk.Action.
func (restart) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	watched, err := r.WatchService(ctx, host.EndpointService, 0, r.Duration("stable_for"))
	if err != nil {
		return nil, err
	}
	now, before := watched.GetState().GetPid(), r.Effect(effectStop).GetBefore().GetService().GetPid()
	return sdk.Verdict(
		sdk.Check("its process is new", fmt.Sprintf("not process %d", before), fmt.Sprintf("process %d", now), now != 0 && now != before),
		sdk.Check("it keeps running", fmt.Sprintf("for %s", r.Duration("stable_for")), watched.GetState().GetStatus().String(), watched.GetStable()),
	), nil
}

// check only reads: what it measures is the way there and back.
type check struct{}

// Manifest implements sdk.Action.
func (check) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name: CheckAction, Version: "1.0.0", Summary: "Look whether the Bluetooth Endpoint of a simulated terminal runs",
		Description:   "Reads the simulated service.",
		Capabilities:  []*actionv1.Capability{sdk.ReadService(host.EndpointService)},
		Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE, Roles: []string{"user-terminal"}, ReadOnly: true,
		Interrupts: "Nothing.", Undo: "Nothing to undo.", Verifies: "The service runs.", Source: "None: it is for simulated fleets.",
		MaxDuration: durationpb.New(time.Minute),
	}
}

// Plan implements sdk.Action.
func (check) Plan(context.Context, *sdk.Run) (*actionv1.Plan, error) {
	return sdk.NoChange("it only reads"), nil
}

// Apply implements sdk.Action.
func (check) Apply(context.Context, *sdk.ApplyRun) error { return nil }

// Verify implements sdk.Action.
func (check) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	s, err := r.Service(ctx, host.EndpointService)
	if err != nil {
		return nil, err
	}
	return sdk.Verdict(sdk.Check("service runs", "running", s.GetStatus().String(), s.GetStatus() == running)), nil
}
