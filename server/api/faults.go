package api

import (
	"context"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/faults"
	"github.com/bandfleet/bandfleet/server/policy"
)

// Faults answers FaultService.
type Faults struct {
	fleetv1.UnimplementedFaultServiceServer
	desk     *faults.Desk
	policies *policy.Engine
}

// NewFaults makes the service.
func NewFaults(d *faults.Desk, p *policy.Engine) *Faults { return &Faults{desk: d, policies: p} }

// ListFaults implements FaultService.
func (s *Faults) ListFaults(ctx context.Context, r *fleetv1.ListFaultsRequest) (*fleetv1.ListFaultsResponse, error) {
	return s.desk.List(ctx, access.From(ctx), r)
}

// GetFault implements FaultService.
func (s *Faults) GetFault(ctx context.Context, r *fleetv1.GetFaultRequest) (*fleetv1.GetFaultResponse, error) {
	f, err := s.desk.Get(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	breakers, err := s.desk.BreakersOf(ctx, f)
	return &fleetv1.GetFaultResponse{Fault: f, Breakers: breakers}, err
}

// WatchFaults implements FaultService.
func (s *Faults) WatchFaults(r *fleetv1.WatchFaultsRequest, stream fleetv1.FaultService_WatchFaultsServer) error {
	ctx := stream.Context()
	return s.desk.Watch(ctx, access.From(ctx), r, stream.Send)
}

// ReportFault implements FaultService.
func (s *Faults) ReportFault(ctx context.Context, r *fleetv1.ReportFaultRequest) (*fleetv1.ReportFaultResponse, error) {
	f, err := s.desk.ReportByPerson(ctx, access.From(ctx), r)
	return &fleetv1.ReportFaultResponse{Fault: f}, err
}

// AckFault implements FaultService.
func (s *Faults) AckFault(ctx context.Context, r *fleetv1.AckFaultRequest) (*fleetv1.AckFaultResponse, error) {
	f, err := s.desk.Ack(ctx, access.From(ctx), r)
	return &fleetv1.AckFaultResponse{Fault: f}, err
}

// ResolveFault implements FaultService.
func (s *Faults) ResolveFault(ctx context.Context, r *fleetv1.ResolveFaultRequest) (*fleetv1.ResolveFaultResponse, error) {
	f, err := s.desk.Resolve(ctx, access.From(ctx), r)
	return &fleetv1.ResolveFaultResponse{Fault: f}, err
}

// AssignFault implements FaultService.
func (s *Faults) AssignFault(ctx context.Context, r *fleetv1.AssignFaultRequest) (*fleetv1.AssignFaultResponse, error) {
	f, err := s.desk.Assign(ctx, access.From(ctx), r)
	return &fleetv1.AssignFaultResponse{Fault: f}, err
}

// ListIncidents implements FaultService.
func (s *Faults) ListIncidents(ctx context.Context, r *fleetv1.ListIncidentsRequest) (*fleetv1.ListIncidentsResponse, error) {
	return s.desk.Incidents(ctx, access.From(ctx), r)
}

// ListUnmatchedLines implements FaultService.
func (s *Faults) ListUnmatchedLines(ctx context.Context, r *fleetv1.ListUnmatchedLinesRequest) (*fleetv1.ListUnmatchedLinesResponse, error) {
	return s.desk.UnmatchedLines(ctx, access.From(ctx), r)
}
