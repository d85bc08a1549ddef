package api

import (
	"context"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/jobs"
	"github.com/bandfleet/bandfleet/server/schedule"
)

// Schedules answers ScheduleService.
type Schedules struct {
	fleetv1.UnimplementedScheduleServiceServer
	scheduler *schedule.Scheduler
}

// NewSchedules makes the service.
func NewSchedules(s *schedule.Scheduler) *Schedules { return &Schedules{scheduler: s} }

// CreateSchedule implements ScheduleService.
func (s *Schedules) CreateSchedule(ctx context.Context, r *fleetv1.CreateScheduleRequest) (*fleetv1.CreateScheduleResponse, error) {
	if err := jobs.CheckKnown(r); err != nil {
		return nil, err
	}
	made, err := s.scheduler.Create(ctx, access.From(ctx), r)
	return &fleetv1.CreateScheduleResponse{Schedule: made}, err
}

// GetSchedule implements ScheduleService.
func (s *Schedules) GetSchedule(ctx context.Context, r *fleetv1.GetScheduleRequest) (*fleetv1.GetScheduleResponse, error) {
	got, err := s.scheduler.Get(ctx, r.GetName())
	return &fleetv1.GetScheduleResponse{Schedule: got}, err
}

// ListSchedules implements ScheduleService.
func (s *Schedules) ListSchedules(ctx context.Context, r *fleetv1.ListSchedulesRequest) (*fleetv1.ListSchedulesResponse, error) {
	return s.scheduler.List(ctx, access.From(ctx), r)
}

// PauseSchedule implements ScheduleService.
func (s *Schedules) PauseSchedule(ctx context.Context, r *fleetv1.PauseScheduleRequest) (*fleetv1.PauseScheduleResponse, error) {
	changed, err := s.scheduler.Pause(ctx, access.From(ctx), r)
	return &fleetv1.PauseScheduleResponse{Schedule: changed}, err
}

// RunSchedule implements ScheduleService.
func (s *Schedules) RunSchedule(ctx context.Context, r *fleetv1.RunScheduleRequest) (*fleetv1.RunScheduleResponse, error) {
	run, err := s.scheduler.RunNow(ctx, access.From(ctx), r)
	return &fleetv1.RunScheduleResponse{Run: run}, err
}

// DeleteSchedule implements ScheduleService.
func (s *Schedules) DeleteSchedule(ctx context.Context, r *fleetv1.DeleteScheduleRequest) (*fleetv1.DeleteScheduleResponse, error) {
	return &fleetv1.DeleteScheduleResponse{}, s.scheduler.Delete(ctx, access.From(ctx), r)
}

// ListScheduleRuns implements ScheduleService.
func (s *Schedules) ListScheduleRuns(ctx context.Context, r *fleetv1.ListScheduleRunsRequest) (*fleetv1.ListScheduleRunsResponse, error) {
	return s.scheduler.Runs(ctx, r)
}
