package api

import (
	"context"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/artifacts"
)

// Artifacts answers ArtifactService.
type Artifacts struct {
	fleetv1.UnimplementedArtifactServiceServer
	keeper *artifacts.Keeper
}

// NewArtifacts makes the service.
func NewArtifacts(k *artifacts.Keeper) *Artifacts { return &Artifacts{keeper: k} }

// ListArtifacts implements ArtifactService.
func (s *Artifacts) ListArtifacts(ctx context.Context, r *fleetv1.ListArtifactsRequest) (*fleetv1.ListArtifactsResponse, error) {
	return s.keeper.List(ctx, access.From(ctx), r)
}

// GetArtifact implements ArtifactService.
func (s *Artifacts) GetArtifact(ctx context.Context, r *fleetv1.GetArtifactRequest) (*fleetv1.GetArtifactResponse, error) {
	a, err := s.keeper.Get(ctx, r.GetId())
	return &fleetv1.GetArtifactResponse{Artifact: a}, err
}

// DownloadArtifact implements ArtifactService.
func (s *Artifacts) DownloadArtifact(r *fleetv1.DownloadArtifactRequest, st fleetv1.ArtifactService_DownloadArtifactServer) error {
	ctx := st.Context()
	return s.keeper.Send(ctx, caller(ctx), r.GetId(), r.GetOffset(), st.Send)
}
