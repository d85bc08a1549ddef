package cli

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func (f *fakeFleet) schedule(name string) (*fleetv1.Schedule, error) {
	for _, s := range f.schedules {
		if s.GetName() == name {
			return s, nil
		}
	}
	return nil, refuse(codes.NotFound, "schedule \""+name+"\": not found", "NOT_FOUND")
}

func (f *fakeFleet) CreateSchedule(ctx context.Context, r *fleetv1.CreateScheduleRequest) (*fleetv1.CreateScheduleResponse, error) {
	if _, err := f.schedule(r.GetName()); err == nil {
		return nil, refuse(codes.AlreadyExists, "schedule \""+r.GetName()+"\": exists already", "EXISTS")
	}
	s := &fleetv1.Schedule{
		Name: r.GetName(), Cron: r.GetCron(), TimeZone: r.GetTimeZone(), Jitter: r.GetJitter(), Overlap: r.GetOverlap(), CatchUp: r.GetCatchUp(),
		Spec: r.GetSpec(), Sites: []string{"lyon"}, Owner: caller(ctx), Created: at(0), Next: timestamppb.New(testNow.Add(time.Hour)), Reason: r.GetReason(),
	}
	f.schedules = append(f.schedules, s)
	return &fleetv1.CreateScheduleResponse{Schedule: proto.CloneOf(s)}, nil
}

func (f *fakeFleet) GetSchedule(_ context.Context, r *fleetv1.GetScheduleRequest) (*fleetv1.GetScheduleResponse, error) {
	s, err := f.schedule(r.GetName())
	return &fleetv1.GetScheduleResponse{Schedule: s}, err
}

func (f *fakeFleet) ListSchedules(context.Context, *fleetv1.ListSchedulesRequest) (*fleetv1.ListSchedulesResponse, error) {
	return &fleetv1.ListSchedulesResponse{Schedules: f.schedules}, nil
}

func (f *fakeFleet) PauseSchedule(ctx context.Context, r *fleetv1.PauseScheduleRequest) (*fleetv1.PauseScheduleResponse, error) {
	s, err := f.schedule(r.GetName())
	if err != nil {
		return nil, err
	}
	s.Paused, s.PausedBy, s.Next = r.GetPaused(), caller(ctx), nil
	if !r.GetPaused() {
		s.Next = timestamppb.New(testNow.Add(time.Hour))
	}
	return &fleetv1.PauseScheduleResponse{Schedule: proto.CloneOf(s)}, nil
}

func (f *fakeFleet) RunSchedule(ctx context.Context, r *fleetv1.RunScheduleRequest) (*fleetv1.RunScheduleResponse, error) {
	s, err := f.schedule(r.GetName())
	if err != nil {
		return nil, err
	}
	j, err := f.newJob(&fleetv1.CreateJobRequest{Spec: s.GetSpec(), RequestId: r.GetRequestId()})
	if err != nil {
		return nil, err
	}
	f.jobs = append(f.jobs, j)
	s.Last = &fleetv1.ScheduleRun{Time: at(0), Acted: at(0), JobId: j.job.GetId(), By: caller(ctx)}
	f.runs = slices.Insert(f.runs, 0, s.GetLast())
	return &fleetv1.RunScheduleResponse{Run: s.GetLast()}, nil
}

func (f *fakeFleet) DeleteSchedule(_ context.Context, r *fleetv1.DeleteScheduleRequest) (*fleetv1.DeleteScheduleResponse, error) {
	if _, err := f.schedule(r.GetName()); err != nil {
		return nil, err
	}
	f.schedules = slices.DeleteFunc(f.schedules, func(s *fleetv1.Schedule) bool { return s.GetName() == r.GetName() })
	return &fleetv1.DeleteScheduleResponse{}, nil
}

func (f *fakeFleet) ListScheduleRuns(_ context.Context, r *fleetv1.ListScheduleRunsRequest) (*fleetv1.ListScheduleRunsResponse, error) {
	_, err := f.schedule(r.GetName())
	missed := &fleetv1.ScheduleRun{Time: at(-24 * time.Hour), Acted: at(-24 * time.Hour), Problem: "it passed while the server was down"}
	return &fleetv1.ListScheduleRunsResponse{Runs: append(slices.Clone(f.runs), missed)}, err
}
