package fleet

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// The names of two more simulated actions. They are those of the real ones that the catalogue's remedies for a lost NES host name.
const (
	EnsureAction = "iis-restart"
	ProbeAction  = "net-probe"
)

// ensure is a small iis-restart: it starts the web server of a NES host if it is stopped.
type ensure struct{}

// Manifest implements sdk.Action.
func (ensure) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name: EnsureAction, Version: "1.0.0", Summary: "Make sure that the web server of a simulated NES host runs",
		Description:   "Starts the simulated service if it is stopped.",
		Params:        []*actionv1.Param{sdk.Enum("mode", "ensure-running", "what is done", "ensure-running")},
		Capabilities:  []*actionv1.Capability{sdk.ReadService(hosttest.WebService), sdk.ControlService(hosttest.WebService)},
		Repeatability: actionv1.Repeatability_REPEATABILITY_PROBE, Resources: []string{"iis"}, Roles: []string{roleNESHost}, Disruptive: true,
		Interrupts: "Nothing real.", Undo: "Nothing to undo.", Verifies: "The service runs.", Source: "None: it is for simulated fleets.",
		MaxDuration: durationpb.New(time.Minute),
	}
}

// Plan implements sdk.Action.
func (ensure) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	s, err := r.Service(ctx, hosttest.WebService)
	if err != nil {
		return nil, err
	}
	if s.GetStatus() == running {
		return sdk.NoChange("it runs"), nil
	}
	return sdk.Ready(sdk.Planned(effectStart, sdk.StartService(hosttest.WebService, 10*time.Second), "stopped", "running")), nil
}

// Apply implements sdk.Action.
func (ensure) Apply(ctx context.Context, r *sdk.ApplyRun) error { return r.MustDo(ctx, effectStart) }

// Verify implements sdk.Action.
func (ensure) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	s, err := r.Service(ctx, hosttest.WebService)
	if err != nil {
		return nil, err
	}
	return sdk.Verdict(sdk.Check("service runs", "running", s.GetStatus().String(), s.GetStatus() == running)), nil
}

// probe is net-probe without a network.
type probe struct{ check }

// Manifest implements sdk.Action.
func (probe) Manifest() *actionv1.Action {
	m := check{}.Manifest()
	m.Name, m.Summary = ProbeAction, "Look at nothing, under the name of the action that looks at the way to the NES host"
	m.Params = []*actionv1.Param{
		sdk.Enum("from", "terminal", "where it is looked from", "terminal"), sdk.Enum("targets", "nes", "what is looked at", "nes"),
	}
	return m
}
