package api

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/pki"
)

// Access serves fleet.v1.AccessService.
type Access struct {
	fleetv1.UnimplementedAccessServiceServer
	inventory *inventory.Inventory
	authority *pki.Authority
	approvals Approvals
	version   string
}

// Approvals is what the handlers need of the job engine.
type Approvals interface {
	// OperatorRevoked takes back what operators had approved who are revoked now.
	OperatorRevoked(ctx context.Context) error
}

// NewAccess makes the service. version is the server's, for WhoAmI.
func NewAccess(i *inventory.Inventory, a *pki.Authority, jobs Approvals, version string) *Access {
	return &Access{inventory: i, authority: a, approvals: jobs, version: version}
}

// CreateToken implements the service.
func (s *Access) CreateToken(ctx context.Context, req *fleetv1.CreateTokenRequest) (*fleetv1.CreateTokenResponse, error) {
	text, t, err := s.inventory.CreateToken(ctx, caller(ctx), req)
	return &fleetv1.CreateTokenResponse{Text: text, Token: t}, err
}

// ListTokens implements the service.
func (s *Access) ListTokens(ctx context.Context, req *fleetv1.ListTokensRequest) (*fleetv1.ListTokensResponse, error) {
	tokens, next, err := s.inventory.Tokens(ctx, access.From(ctx), inventory.Page{Size: req.GetPageSize(), Token: req.GetPageToken()})
	return &fleetv1.ListTokensResponse{Tokens: tokens, NextPageToken: next}, err
}

// RevokeToken implements the service.
func (s *Access) RevokeToken(ctx context.Context, req *fleetv1.RevokeTokenRequest) (*fleetv1.RevokeTokenResponse, error) {
	t, err := s.inventory.RevokeToken(ctx, caller(ctx), req.GetId())
	return &fleetv1.RevokeTokenResponse{Token: t}, err
}

// CreateOperator implements the service.
func (s *Access) CreateOperator(ctx context.Context, req *fleetv1.CreateOperatorRequest) (*fleetv1.CreateOperatorResponse, error) {
	o, issued, err := s.inventory.CreateOperator(ctx, caller(ctx), req, func(name string, csr []byte) (*pki.Issued, error) {
		return s.authority.IssueOperator(name, csr, req.GetTtl().AsDuration())
	})
	if err != nil {
		return nil, err
	}
	return &fleetv1.CreateOperatorResponse{Operator: o, CertificateChain: issued.Chain, TrustBundle: s.authority.TrustBundle()}, nil
}

// ListOperators implements the service.
func (s *Access) ListOperators(ctx context.Context, req *fleetv1.ListOperatorsRequest) (*fleetv1.ListOperatorsResponse, error) {
	operators, next, err := s.inventory.Operators(ctx, inventory.Page{Size: req.GetPageSize(), Token: req.GetPageToken()})
	return &fleetv1.ListOperatorsResponse{Operators: operators, NextPageToken: next}, err
}

// RevokeOperator implements the service.
func (s *Access) RevokeOperator(ctx context.Context, req *fleetv1.RevokeOperatorRequest) (*fleetv1.RevokeOperatorResponse, error) {
	o, err := s.inventory.RevokeOperator(ctx, caller(ctx), req)
	if err != nil {
		return nil, err
	}
	return &fleetv1.RevokeOperatorResponse{Operator: o}, s.approvals.OperatorRevoked(ctx)
}

// RenewOperator implements the service.
func (s *Access) RenewOperator(ctx context.Context, req *fleetv1.RenewOperatorRequest) (*fleetv1.RenewOperatorResponse, error) {
	o, issued, err := s.inventory.RenewOperator(ctx, access.From(ctx), req.GetCsr(), func(name string, csr []byte) (*pki.Issued, error) {
		return s.authority.IssueOperator(name, csr, 0)
	})
	if err != nil {
		return nil, err
	}
	return &fleetv1.RenewOperatorResponse{Operator: o, CertificateChain: issued.Chain, TrustBundle: s.authority.TrustBundle()}, nil
}

// WhoAmI implements the service.
func (s *Access) WhoAmI(ctx context.Context, _ *fleetv1.WhoAmIRequest) (*fleetv1.WhoAmIResponse, error) {
	return &fleetv1.WhoAmIResponse{
		Operator: access.From(ctx).Operator, ServerVersion: s.version, ServerTime: timestamppb.New(time.Now()),
	}, nil
}
