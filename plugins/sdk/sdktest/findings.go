package sdktest

import (
	"cmp"
	"context"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/params"
)

// Findings runs the verify phase of an action that only reads, on a machine, and returns what it found. An empty role is
// "user-terminal".
func Findings(ctx context.Context, a sdk.Action, given map[string]string, role string, m *Machine) ([]*actionv1.Finding, *actionv1.Verdict, error) {
	resolved, err := params.Resolve(a.Manifest(), given)
	if err != nil {
		return nil, nil, err
	}
	c := &calls{machine: m, action: a.Manifest()}
	finish, err := sdk.RunPhase(ctx, a, &actionv1.Start{
		Phase: actionv1.Phase_PHASE_VERIFY, Action: a.Manifest().GetName(), Params: resolved,
		Terminal: &actionv1.Terminal{Id: "t-1", Name: "press-4", Site: "lyon", Role: cmp.Or(role, "user-terminal")},
	}, c)
	return c.findings, finish.GetVerdict(), err
}
