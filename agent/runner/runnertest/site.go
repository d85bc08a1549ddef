package runnertest

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/runner"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Knowing is a Setup.Ready: the agent's server answers what it knows of the site, and nothing else. nil surroundings are a server that cannot
// be reached.
func Knowing(site *actionv1.Surroundings) func(*runner.Runner) {
	return func(r *runner.Runner) { r.SetAsker(knowing{site}) }
}

var errOffline = errors.New("the server cannot be reached")

type knowing struct{ site *actionv1.Surroundings }

func (k knowing) Site(context.Context, *agentv1.TaskKey) (*actionv1.Surroundings, error) {
	if k.site == nil {
		return nil, errOffline
	}
	return proto.CloneOf(k.site), nil
}

func (knowing) Secret(context.Context, *agentv1.TaskKey, string) (*agentv1.SealedSecret, error) {
	return nil, errOffline
}

func (knowing) Coverage(context.Context, *agentv1.TaskKey, *actionv1.CoverageQuery) (*actionv1.Coverage, error) {
	return nil, errOffline
}

func (knowing) PeerProbe(context.Context, *agentv1.TaskKey, *actionv1.PeerProbe) (*actionv1.PeerVerdicts, error) {
	return nil, errOffline
}
