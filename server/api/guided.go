package api

import (
	"context"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/guided"
)

// Guided answers GuidedService.
type Guided struct {
	fleetv1.UnimplementedGuidedServiceServer
	desk *guided.Desk
}

// NewGuided makes the service.
func NewGuided(d *guided.Desk) *Guided { return &Guided{desk: d} }

// CreateGuidedTask implements GuidedService.
func (s *Guided) CreateGuidedTask(ctx context.Context, r *fleetv1.CreateGuidedTaskRequest) (*fleetv1.CreateGuidedTaskResponse, error) {
	t, err := s.desk.CreateFor(ctx, access.From(ctx), r)
	return &fleetv1.CreateGuidedTaskResponse{Task: t}, err
}

// ListGuidedTasks implements GuidedService.
func (s *Guided) ListGuidedTasks(ctx context.Context, r *fleetv1.ListGuidedTasksRequest) (*fleetv1.ListGuidedTasksResponse, error) {
	return s.desk.List(ctx, access.From(ctx), r)
}

// GetGuidedTask implements GuidedService.
func (s *Guided) GetGuidedTask(ctx context.Context, r *fleetv1.GetGuidedTaskRequest) (*fleetv1.GetGuidedTaskResponse, error) {
	t, err := s.desk.Get(ctx, r.GetId())
	return &fleetv1.GetGuidedTaskResponse{Task: t}, err
}

// TakeGuidedTask implements GuidedService.
func (s *Guided) TakeGuidedTask(ctx context.Context, r *fleetv1.TakeGuidedTaskRequest) (*fleetv1.TakeGuidedTaskResponse, error) {
	t, err := s.desk.Take(ctx, access.From(ctx), r)
	return &fleetv1.TakeGuidedTaskResponse{Task: t}, err
}

// TickStep implements GuidedService.
func (s *Guided) TickStep(ctx context.Context, r *fleetv1.TickStepRequest) (*fleetv1.TickStepResponse, error) {
	t, err := s.desk.Tick(ctx, access.From(ctx), r)
	return &fleetv1.TickStepResponse{Task: t}, err
}

// NoteGuidedTask implements GuidedService.
func (s *Guided) NoteGuidedTask(ctx context.Context, r *fleetv1.NoteGuidedTaskRequest) (*fleetv1.NoteGuidedTaskResponse, error) {
	t, err := s.desk.Note(ctx, access.From(ctx), r)
	return &fleetv1.NoteGuidedTaskResponse{Task: t}, err
}

// EscalateGuidedTask implements GuidedService.
func (s *Guided) EscalateGuidedTask(ctx context.Context, r *fleetv1.EscalateGuidedTaskRequest) (*fleetv1.EscalateGuidedTaskResponse, error) {
	t, err := s.desk.Escalate(ctx, access.From(ctx), r)
	return &fleetv1.EscalateGuidedTaskResponse{Task: t}, err
}

// CloseGuidedTask implements GuidedService.
func (s *Guided) CloseGuidedTask(ctx context.Context, r *fleetv1.CloseGuidedTaskRequest) (*fleetv1.CloseGuidedTaskResponse, error) {
	t, err := s.desk.Close(ctx, access.From(ctx), r)
	return &fleetv1.CloseGuidedTaskResponse{Task: t}, err
}

// ReadAttachment implements GuidedService.
func (s *Guided) ReadAttachment(ctx context.Context, r *fleetv1.ReadAttachmentRequest) (*fleetv1.ReadAttachmentResponse, error) {
	name, file, err := s.desk.Attachment(ctx, r)
	return &fleetv1.ReadAttachmentResponse{FileName: name, File: file}, err
}
