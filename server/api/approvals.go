package api

import (
	"context"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/jobs"
)

// ApproveJob implements JobService.
func (s *Jobs) ApproveJob(ctx context.Context, r *fleetv1.ApproveJobRequest) (*fleetv1.ApproveJobResponse, error) {
	if err := jobs.CheckKnown(r); err != nil {
		return nil, err
	}
	job, err := s.engine.Approve(ctx, access.From(ctx), r)
	return &fleetv1.ApproveJobResponse{Job: job}, err
}

// RejectJob implements JobService.
func (s *Jobs) RejectJob(ctx context.Context, r *fleetv1.RejectJobRequest) (*fleetv1.RejectJobResponse, error) {
	if err := jobs.CheckKnown(r); err != nil {
		return nil, err
	}
	job, err := s.engine.Reject(ctx, access.From(ctx), r.GetId(), r.GetReason())
	return &fleetv1.RejectJobResponse{Job: job}, err
}

// ConfirmTask implements JobService.
func (s *Jobs) ConfirmTask(ctx context.Context, r *fleetv1.ConfirmTaskRequest) (*fleetv1.ConfirmTaskResponse, error) {
	if err := jobs.CheckKnown(r); err != nil {
		return nil, err
	}
	task, err := s.engine.Confirm(ctx, access.From(ctx), r)
	return &fleetv1.ConfirmTaskResponse{Task: task}, err
}

// RetryJob implements JobService.
func (s *Jobs) RetryJob(ctx context.Context, r *fleetv1.RetryJobRequest) (*fleetv1.RetryJobResponse, error) {
	if err := jobs.CheckKnown(r); err != nil {
		return nil, err
	}
	job, err := s.engine.Retry(ctx, access.From(ctx), r)
	return &fleetv1.RetryJobResponse{Job: job}, err
}
