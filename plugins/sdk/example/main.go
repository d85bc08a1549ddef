// Command example is the smallest useful action: it starts the print spooler and proves that it runs.
package main

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const service = "Print Spooler"

type spoolerStart struct{}

func (spoolerStart) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name: "spooler-start", Version: "1.0.0", Summary: "Start the print spooler", Description: "Use it when badges do not print.",
		Undo: "Stopping it again is left to people.", Verifies: "The service runs.", Source: "own", Roles: []string{"user-terminal"},
		Capabilities: []*actionv1.Capability{sdk.ReadService(service), sdk.ControlService(service)}, Resources: []string{"spooler"},
		Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE, MaxDuration: &durationpb.Duration{Seconds: 60},
	}
}

func (spoolerStart) Plan(context.Context, *sdk.Run) (*actionv1.Plan, error) {
	return sdk.Ready(sdk.Planned("start", sdk.StartService(service, 10e9), "as it is", "running")), nil
}

func (spoolerStart) Apply(ctx context.Context, r *sdk.ApplyRun) error { return r.MustDo(ctx, "start") }

func (spoolerStart) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	s, err := r.Service(ctx, service)
	return sdk.Verdict(sdk.Check("it runs", "running", s.GetStatus().String(), s.GetPid() != 0)), err
}

func main() { sdk.Serve("example", "1.0.0", spoolerStart{}) }
