package api

import (
	"context"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/pki"
)

// Enrolment answers EnrollmentService, and renews certificates for the agents' sessions.
type Enrolment struct {
	agentv1.UnimplementedEnrollmentServiceServer
	inv *inventory.Inventory
	ca  *pki.Authority
}

// NewEnrolment makes the service.
func NewEnrolment(inv *inventory.Inventory, ca *pki.Authority) *Enrolment {
	return &Enrolment{inv: inv, ca: ca}
}

// Enroll implements EnrollmentService. The token is the only right that it needs; the inventory checks it.
func (s *Enrolment) Enroll(ctx context.Context, r *agentv1.EnrollRequest) (*agentv1.EnrollResponse, error) {
	e, err := s.inv.Enroll(ctx, r, s.ca.IssueAgent)
	if err != nil {
		return nil, err
	}
	t := e.Terminal.GetTerminal()
	return &agentv1.EnrollResponse{
		TerminalId: t.GetId(), Name: t.GetName(), Site: t.GetSite(), Role: identity.RoleWord(t.GetRole()),
		CertificateChain: e.Issued.Chain, TrustBundle: s.ca.TrustBundle(),
	}, nil
}

// Renew implements sessions.Renewer.
func (s *Enrolment) Renew(ctx context.Context, terminalID string, csr []byte) (*agentv1.RenewResponse, error) {
	issued, err := s.inv.Renew(ctx, terminalID, csr, s.ca.IssueAgent)
	if err != nil {
		return nil, err
	}
	return &agentv1.RenewResponse{CertificateChain: issued.Chain, TrustBundle: s.ca.TrustBundle()}, nil
}
