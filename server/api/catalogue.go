package api

import (
	"context"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/catalogue"
)

// Catalogue answers CatalogueService.
type Catalogue struct {
	fleetv1.UnimplementedCatalogueServiceServer
	shelf *catalogue.Shelf
}

// NewCatalogue makes the service.
func NewCatalogue(s *catalogue.Shelf) *Catalogue { return &Catalogue{shelf: s} }

// GetCatalogue implements CatalogueService.
func (s *Catalogue) GetCatalogue(ctx context.Context, _ *fleetv1.GetCatalogueRequest) (*fleetv1.GetCatalogueResponse, error) {
	return s.shelf.Get(ctx)
}

// PublishPack implements CatalogueService.
func (s *Catalogue) PublishPack(ctx context.Context, r *fleetv1.PublishPackRequest) (*fleetv1.PublishPackResponse, error) {
	pack, err := s.shelf.Publish(ctx, access.From(ctx), r)
	return &fleetv1.PublishPackResponse{Pack: pack}, err
}

// RemovePack implements CatalogueService.
func (s *Catalogue) RemovePack(ctx context.Context, r *fleetv1.RemovePackRequest) (*fleetv1.RemovePackResponse, error) {
	return &fleetv1.RemovePackResponse{}, s.shelf.Remove(ctx, access.From(ctx), r)
}
