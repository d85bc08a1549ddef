package api

import (
	"context"
	"errors"
	"io"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/jobs"
)

// watchPause is how long a watch gathers changes before it tells them.
const watchPause = 50 * time.Millisecond

// Jobs answers JobService.
type Jobs struct {
	fleetv1.UnimplementedJobServiceServer
	engine    *jobs.Engine
	inventory *inventory.Inventory
	sessions  inventory.Presence
}

// NewJobs makes the service.
func NewJobs(e *jobs.Engine, i *inventory.Inventory, s inventory.Presence) *Jobs {
	return &Jobs{engine: e, inventory: i, sessions: s}
}

// PreviewJob implements JobService.
func (s *Jobs) PreviewJob(ctx context.Context, r *fleetv1.PreviewJobRequest) (*fleetv1.PreviewJobResponse, error) {
	if err := jobs.CheckKnown(r); err != nil {
		return nil, err
	}
	return s.engine.Preview(ctx, access.From(ctx), r.GetSpec())
}

// CreateJob implements JobService.
func (s *Jobs) CreateJob(ctx context.Context, r *fleetv1.CreateJobRequest) (*fleetv1.CreateJobResponse, error) {
	if err := jobs.CheckKnown(r); err != nil {
		return nil, err
	}
	job, err := s.engine.Create(ctx, access.From(ctx), r)
	return &fleetv1.CreateJobResponse{Job: job}, err
}

// GetJob implements JobService.
func (s *Jobs) GetJob(ctx context.Context, r *fleetv1.GetJobRequest) (*fleetv1.GetJobResponse, error) {
	job, err := s.engine.Get(ctx, access.From(ctx), r.GetId())
	return &fleetv1.GetJobResponse{Job: job}, err
}

// ListJobs implements JobService.
func (s *Jobs) ListJobs(ctx context.Context, r *fleetv1.ListJobsRequest) (*fleetv1.ListJobsResponse, error) {
	return s.engine.List(ctx, access.From(ctx), r)
}

// ListTasks implements JobService.
func (s *Jobs) ListTasks(ctx context.Context, r *fleetv1.ListTasksRequest) (*fleetv1.ListTasksResponse, error) {
	return s.engine.Tasks(ctx, access.From(ctx), r)
}

// CancelJob implements JobService.
func (s *Jobs) CancelJob(ctx context.Context, r *fleetv1.CancelJobRequest) (*fleetv1.CancelJobResponse, error) {
	if err := jobs.CheckKnown(r); err != nil {
		return nil, err
	}
	job, err := s.engine.Cancel(ctx, access.From(ctx), r.GetId(), r.GetReason())
	return &fleetv1.CancelJobResponse{Job: job}, err
}

// PauseJob implements JobService.
func (s *Jobs) PauseJob(ctx context.Context, r *fleetv1.PauseJobRequest) (*fleetv1.PauseJobResponse, error) {
	if err := jobs.CheckKnown(r); err != nil {
		return nil, err
	}
	job, err := s.engine.Pause(ctx, access.From(ctx), r.GetId(), r.GetReason())
	return &fleetv1.PauseJobResponse{Job: job}, err
}

// ResumeJob implements JobService.
func (s *Jobs) ResumeJob(ctx context.Context, r *fleetv1.ResumeJobRequest) (*fleetv1.ResumeJobResponse, error) {
	if err := jobs.CheckKnown(r); err != nil {
		return nil, err
	}
	job, err := s.engine.Resume(ctx, access.From(ctx), r.GetId(), r.GetReason())
	return &fleetv1.ResumeJobResponse{Job: job}, err
}

// WatchJob implements JobService.
func (s *Jobs) WatchJob(r *fleetv1.WatchJobRequest, st fleetv1.JobService_WatchJobServer) error {
	ctx := st.Context()
	w, err := s.engine.Watch(ctx, access.From(ctx), r.GetId())
	if err != nil {
		return err
	}
	defer w.Close()
	synced := false
	for {
		m, err := w.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := st.Send(m); err != nil {
			return err
		}
		if synced = synced || m.GetSynced(); synced && !pause(ctx, watchPause) {
			return ctx.Err()
		}
	}
}

// pause waits, and reports whether it was let.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
