package runner

import (
	"context"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/rights"
)

// TestWhatAMachineLacksRefusesTheAction: a plugin whose question nobody can answer on this kind of machine gives up. The terminal says
// what it lacks, and nobody is sent to the plugin's maker.
func TestWhatAMachineLacksRefusesTheAction(t *testing.T) {
	const guid = "2a737441-1930-4402-8d77-b2bebba308a3"
	q := &actionv1.Query{Query: &actionv1.Query_Power{Power: &actionv1.PowerQuery{Setting: &actionv1.PowerSetting{Subgroup: guid, Setting: guid}}}}
	for name, c := range map[string]struct {
		lacks  bool
		reason string
		want   actionv1.TaskStatus
	}{
		"the machine lacks it":        {true, "power schemes: is not supported", actionv1.TaskStatus_TASK_STATUS_REFUSED},
		"the plugin fails for itself": {false, "broke off in the plan phase", actionv1.TaskStatus_TASK_STATUS_FAILED},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				if c.lacks {
					b.host.Power = host.NoPower{Lacking: "power schemes"}
				}
				p := b.plugins["restart"]
				p.action.Capabilities = []*actionv1.Capability{rights.OfQuery(q)}
				p.plan = func(ctx context.Context, _ *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
					_, err := calls.Query(ctx, q)
					if err == nil {
						err = context.DeadlineExceeded // any error of its own
					}
					return nil, err
				}
				res := b.do(b.task("j", "restart"))
				if res.GetStatus() != c.want || !strings.Contains(res.GetReason(), c.reason) || res.GetNextStep() == "" {
					t.Errorf("status %v (%s; next: %s), want %v because of %q, and what to do next", res.GetStatus(), res.GetReason(), res.GetNextStep(), c.want, c.reason)
				}
			})
		})
	}
}
