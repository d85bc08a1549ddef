package cli

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func (f *fakeFleet) policy(name string) (*fleetv1.Policy, error) {
	for _, p := range f.policies {
		if p.GetName() == name {
			return p, nil
		}
	}
	return nil, refuse(codes.NotFound, "policy \""+name+"\": not found", "NOT_FOUND")
}

func (f *fakeFleet) SetPolicy(ctx context.Context, r *fleetv1.SetPolicyRequest) (*fleetv1.SetPolicyResponse, error) {
	p := proto.CloneOf(r.GetPolicy())
	p.ChangedBy, p.Changed = caller(ctx), at(0)
	for i, old := range f.policies {
		if old.GetName() == p.GetName() {
			f.policies[i] = p
			return &fleetv1.SetPolicyResponse{Policy: p}, nil
		}
	}
	f.policies = append(f.policies, p)
	return &fleetv1.SetPolicyResponse{Policy: p}, nil
}

func (f *fakeFleet) GetPolicy(_ context.Context, r *fleetv1.GetPolicyRequest) (*fleetv1.GetPolicyResponse, error) {
	p, err := f.policy(r.GetName())
	return &fleetv1.GetPolicyResponse{Policy: p}, err
}

func (f *fakeFleet) ListPolicies(context.Context, *fleetv1.ListPoliciesRequest) (*fleetv1.ListPoliciesResponse, error) {
	return &fleetv1.ListPoliciesResponse{Policies: f.policies}, nil
}

func (f *fakeFleet) DeletePolicy(_ context.Context, r *fleetv1.DeletePolicyRequest) (*fleetv1.DeletePolicyResponse, error) {
	if _, err := f.policy(r.GetName()); err != nil {
		return nil, err
	}
	f.policies = nil
	return &fleetv1.DeletePolicyResponse{}, nil
}

func (f *fakeFleet) breaker() *fleetv1.Breaker {
	return &fleetv1.Breaker{
		TerminalId: "T-0001", TerminalName: "lyon-01", Site: "lyon", Entry: "nbe-missing", Action: "ble-restart", Open: true, Attempts: 3, Since: at(0),
		Reason: "3 attempts \x1b[31min an hour",
	}
}

func (f *fakeFleet) ListBreakers(context.Context, *fleetv1.ListBreakersRequest) (*fleetv1.ListBreakersResponse, error) {
	return &fleetv1.ListBreakersResponse{Breakers: []*fleetv1.Breaker{f.breaker()}}, nil
}

func (f *fakeFleet) ResetBreaker(ctx context.Context, r *fleetv1.ResetBreakerRequest) (*fleetv1.ResetBreakerResponse, error) {
	if r.GetTerminal() != "lyon-01" {
		return nil, refuse(codes.NotFound, "terminal \""+r.GetTerminal()+"\": not found", "NOT_FOUND")
	}
	b := f.breaker()
	b.ResetBy = caller(ctx)
	return &fleetv1.ResetBreakerResponse{Breakers: []*fleetv1.Breaker{b}}, nil
}

func (f *fakeFleet) Freeze(ctx context.Context, r *fleetv1.FreezeRequest) (*fleetv1.FreezeResponse, error) {
	s := &fleetv1.FreezeState{Site: r.GetSite(), Since: at(0), By: caller(ctx), Reason: r.GetReason()}
	f.freezes = append(f.freezes, s)
	return &fleetv1.FreezeResponse{Freeze: s}, nil
}

func (f *fakeFleet) Unfreeze(context.Context, *fleetv1.UnfreezeRequest) (*fleetv1.UnfreezeResponse, error) {
	f.freezes = nil
	return &fleetv1.UnfreezeResponse{}, nil
}

func (f *fakeFleet) ListFreezes(context.Context, *fleetv1.ListFreezesRequest) (*fleetv1.ListFreezesResponse, error) {
	return &fleetv1.ListFreezesResponse{Freezes: f.freezes}, nil
}

// FixFault makes a guided task, or refuses as the server does where only a person knows a parameter.
func (f *fakeFleet) FixFault(_ context.Context, r *fleetv1.FixFaultRequest) (*fleetv1.FixFaultResponse, error) {
	if r.GetStep() == 2 && r.GetParams()["cert"] == "" {
		return nil, refuse(codes.InvalidArgument, "action \"root-cert-install\": only a person can say cert; give it with --param cert=VALUE", "PARAMETER_WANTED")
	}
	return &fleetv1.FixFaultResponse{GuidedTask: "G-7"}, nil
}
