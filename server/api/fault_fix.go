package api

import (
	"context"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/jobs"
)

// FixFault implements FaultService.
func (s *Faults) FixFault(ctx context.Context, r *fleetv1.FixFaultRequest) (*fleetv1.FixFaultResponse, error) {
	if err := jobs.CheckKnown(r); err != nil {
		return nil, err
	}
	return s.policies.Fix(ctx, access.From(ctx), r)
}
