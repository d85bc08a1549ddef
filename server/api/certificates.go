package api

import (
	"context"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/certificates"
)

// Certificates answers CertificateService.
type Certificates struct {
	fleetv1.UnimplementedCertificateServiceServer
	keeper *certificates.Keeper
}

// NewCertificates makes the service.
func NewCertificates(k *certificates.Keeper) *Certificates { return &Certificates{keeper: k} }

// ListCertificates implements CertificateService.
func (s *Certificates) ListCertificates(ctx context.Context, r *fleetv1.ListCertificatesRequest) (*fleetv1.ListCertificatesResponse, error) {
	return s.keeper.List(ctx, access.From(ctx), r)
}

// ListTrust implements CertificateService.
func (s *Certificates) ListTrust(ctx context.Context, r *fleetv1.ListTrustRequest) (*fleetv1.ListTrustResponse, error) {
	return s.keeper.Trust(ctx, access.From(ctx), r)
}
