package api

import (
	"context"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/jobs"
	"github.com/bandfleet/bandfleet/server/policy"
)

// Policies answers PolicyService.
type Policies struct {
	fleetv1.UnimplementedPolicyServiceServer
	engine *policy.Engine
}

// NewPolicies makes the service.
func NewPolicies(e *policy.Engine) *Policies { return &Policies{engine: e} }

// SetPolicy implements PolicyService. A policy with what this server does not know might do more than was meant.
func (s *Policies) SetPolicy(ctx context.Context, r *fleetv1.SetPolicyRequest) (*fleetv1.SetPolicyResponse, error) {
	if err := jobs.CheckAllKnown(r, "request"); err != nil {
		return nil, err
	}
	set, err := s.engine.Set(ctx, access.From(ctx), r)
	return &fleetv1.SetPolicyResponse{Policy: set}, err
}

// GetPolicy implements PolicyService.
func (s *Policies) GetPolicy(ctx context.Context, r *fleetv1.GetPolicyRequest) (*fleetv1.GetPolicyResponse, error) {
	got, err := s.engine.Get(ctx, access.From(ctx), r.GetName())
	return &fleetv1.GetPolicyResponse{Policy: got}, err
}

// ListPolicies implements PolicyService.
func (s *Policies) ListPolicies(ctx context.Context, _ *fleetv1.ListPoliciesRequest) (*fleetv1.ListPoliciesResponse, error) {
	all, err := s.engine.List(ctx, access.From(ctx))
	return &fleetv1.ListPoliciesResponse{Policies: all}, err
}

// DeletePolicy implements PolicyService.
func (s *Policies) DeletePolicy(ctx context.Context, r *fleetv1.DeletePolicyRequest) (*fleetv1.DeletePolicyResponse, error) {
	return &fleetv1.DeletePolicyResponse{}, s.engine.Delete(ctx, access.From(ctx), r)
}

// ListBreakers implements PolicyService.
func (s *Policies) ListBreakers(ctx context.Context, r *fleetv1.ListBreakersRequest) (*fleetv1.ListBreakersResponse, error) {
	all, err := s.engine.ListBreakers(ctx, access.From(ctx), r)
	return &fleetv1.ListBreakersResponse{Breakers: all}, err
}

// ResetBreaker implements PolicyService.
func (s *Policies) ResetBreaker(ctx context.Context, r *fleetv1.ResetBreakerRequest) (*fleetv1.ResetBreakerResponse, error) {
	asked, err := s.engine.ResetBreaker(ctx, access.From(ctx), r)
	return &fleetv1.ResetBreakerResponse{Breakers: asked}, err
}

// Freeze implements PolicyService.
func (s *Policies) Freeze(ctx context.Context, r *fleetv1.FreezeRequest) (*fleetv1.FreezeResponse, error) {
	held, err := s.engine.Freeze(ctx, access.From(ctx), r)
	return &fleetv1.FreezeResponse{Freeze: held}, err
}

// Unfreeze implements PolicyService.
func (s *Policies) Unfreeze(ctx context.Context, r *fleetv1.UnfreezeRequest) (*fleetv1.UnfreezeResponse, error) {
	return &fleetv1.UnfreezeResponse{}, s.engine.Unfreeze(ctx, access.From(ctx), r)
}

// ListFreezes implements PolicyService.
func (s *Policies) ListFreezes(ctx context.Context, _ *fleetv1.ListFreezesRequest) (*fleetv1.ListFreezesResponse, error) {
	return &fleetv1.ListFreezesResponse{Freezes: s.engine.ListFreezes(access.From(ctx))}, nil
}
