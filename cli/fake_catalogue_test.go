package cli

import (
	"context"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// GetCatalogue implements CatalogueService.
func (f *fakeFleet) GetCatalogue(context.Context, *fleetv1.GetCatalogueRequest) (*fleetv1.GetCatalogueResponse, error) {
	c, err := catalogue.Load()
	if err != nil {
		return nil, err
	}
	version := c.Version()
	if f.has("other-catalogue") {
		version = "0.9.0+000000000000"
	}
	return &fleetv1.GetCatalogueResponse{Version: version, Packs: f.packs}, nil
}

// PublishPack implements CatalogueService. It believes every signature.
func (f *fakeFleet) PublishPack(_ context.Context, r *fleetv1.PublishPackRequest) (*fleetv1.PublishPackResponse, error) {
	read, err := catalogue.ParsePack(r.GetContent())
	if err != nil {
		return nil, refuse(codes.InvalidArgument, err.Error(), "BAD_PACK")
	}
	p := &fleetv1.Pack{
		Name: read.Name, Version: read.Version, Content: r.GetContent(), Signature: r.GetSignature(), KeyId: r.GetKeyId(), Sha256: read.SHA256,
		Entries: uint32(len(read.Entries)), Published: timestamppb.New(testNow), PublishedBy: "admin",
	}
	if !r.GetDryRun() {
		f.packs = append(slices.DeleteFunc(f.packs, packNamed(p.Name)), p)
	}
	return &fleetv1.PublishPackResponse{Pack: p}, nil
}

// RemovePack implements CatalogueService.
func (f *fakeFleet) RemovePack(_ context.Context, r *fleetv1.RemovePackRequest) (*fleetv1.RemovePackResponse, error) {
	if !slices.ContainsFunc(f.packs, packNamed(r.GetName())) {
		return nil, refuse(codes.NotFound, "pack \""+r.GetName()+"\": not found", "UNKNOWN_PACK")
	}
	f.packs = slices.DeleteFunc(f.packs, packNamed(r.GetName()))
	return &fleetv1.RemovePackResponse{}, nil
}

func packNamed(name string) func(*fleetv1.Pack) bool {
	return func(p *fleetv1.Pack) bool { return p.GetName() == name }
}
