package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// Run creates jobs as their times come, until ctx ends.
func (s *Scheduler) Run(ctx context.Context) {
	// A job that is done may be what a time has waited for.
	done := s.cfg.Store.Watch(ctx, store.TableActiveJobs)
	for {
		next, err := s.look(ctx)
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("schedules were not all looked at; they are again in a minute", "error", err)
		}
		timer := time.NewTimer(min(lookEvery, max(0, next)))
		select {
		case <-timer.C:
		case <-s.wake:
		case <-done:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// look acts upon every time that has come and returns how long it is until the next one.
func (s *Scheduler) look(ctx context.Context) (next time.Duration, err error) {
	recs, err := s.all(ctx)
	if err != nil {
		return lookEvery, err
	}
	next = lookEvery
	for _, rec := range recs {
		name := rec.GetSchedule().GetName()
		if s.idle(rec) {
			continue
		}
		after, e := s.actOn(ctx, name)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("schedule %q: %w", name, e))
			continue
		}
		next = min(next, after)
	}
	return next, err
}

// idle says that nothing can come of a schedule.
func (s *Scheduler) idle(rec *storagev1.ScheduleRecord) bool {
	return rec.GetDue() == nil && !rec.GetWaiting()
}

// actOn acts upon what has come of a schedule, as it is now, and returns how long it is until its next time.
func (s *Scheduler) actOn(ctx context.Context, name string) (next time.Duration, err error) {
	next = lookEvery
	err = s.alone(ctx, func() error {
		rec, err := s.read(ctx, name)
		if err != nil || s.idle(rec) {
			return notFoundIsNil(err)
		}
		now := s.cfg.Now()
		if at := comes(rec); rec.GetDue() != nil && now.Before(at) && !rec.GetWaiting() {
			next = at.Sub(now)
			return nil
		}
		return s.act(ctx, rec, now)
	})
	return next, err
}

func notFoundIsNil(err error) error {
	if no, ok := errors.AsType[*refusal.Error](err); ok && no.Kind == refusal.NotFound {
		return nil
	}
	return err
}

// act decides on the times that have come and writes what came of them.
func (s *Scheduler) act(ctx context.Context, rec *storagev1.ScheduleRecord, now time.Time) error {
	due := rec.GetDue() != nil && !now.Before(comes(rec))
	busy, err := s.busy(ctx, rec)
	if err != nil || !due && busy {
		return err
	}
	run := &fleetv1.ScheduleRun{Time: rec.GetDue(), Acted: timestamppb.New(now)}
	if !due {
		run.Time = timestamppb.New(now)
	}
	run.CaughtUp = due && now.Sub(comes(rec)) > lateAfter
	overlap := rec.GetSchedule().GetOverlap()
	switch {
	case run.GetCaughtUp() && rec.GetSchedule().GetCatchUp() == fleetv1.CatchUpRule_CATCH_UP_RULE_SKIP:
		run.Problem = "it passed while the server was down"
	case busy && overlap == fleetv1.OverlapRule_OVERLAP_RULE_SKIP:
		run.Problem = fmt.Sprintf("job %s of an earlier time is not done", rec.GetRunning())
	case busy && overlap == fleetv1.OverlapRule_OVERLAP_RULE_AFTER:
		rec.Waiting, run.Problem = true, fmt.Sprintf("it waits until job %s is done", rec.GetRunning())
	default:
		if err := s.create(ctx, rec, run); err != nil {
			return err
		}
	}
	if due {
		// From now on: times that have passed meanwhile are one with this.
		if err := s.plan(rec, now); err != nil {
			return err
		}
	}
	return s.keep(ctx, rec, run)
}

// busy says whether the job of an earlier time is not done.
func (s *Scheduler) busy(ctx context.Context, rec *storagev1.ScheduleRecord) (bool, error) {
	if rec.GetRunning() == "" {
		return false, nil
	}
	return s.cfg.Jobs.Active(ctx, rec.GetRunning())
}

// create creates the job of a time in the owner's name. What is refused is in the run; an error means that it is tried again.
func (s *Scheduler) create(ctx context.Context, rec *storagev1.ScheduleRecord, run *fleetv1.ScheduleRun) error {
	p, err := s.owner(ctx, rec.GetSchedule().GetOwner())
	if err == nil {
		err = s.ask(ctx, p, rec, run, requestOf(rec, run))
	}
	if no, ok := errors.AsType[*refusal.Error](err); ok && no.Kind != refusal.Unavailable {
		run.Problem, err = no.Error(), nil
	}
	rec.Waiting = rec.GetWaiting() && err != nil
	return err
}

// ask has the job created.
func (s *Scheduler) ask(ctx context.Context, p *access.Principal, rec *storagev1.ScheduleRecord, run *fleetv1.ScheduleRun, request string) error {
	job, err := s.cfg.Jobs.CreateScheduled(ctx, p, rec.GetSchedule().GetName(), &fleetv1.CreateJobRequest{
		Spec: rec.GetSchedule().GetSpec(), RequestId: request,
	})
	if err == nil {
		run.JobId, rec.Running = job.GetId(), job.GetId()
	}
	return err
}

// requestOf makes the id under which the job of a time is asked for, so that it is created once whatever happens in between. What has
// waited is asked for after another job, at no set time.
func requestOf(rec *storagev1.ScheduleRecord, run *fleetv1.ScheduleRun) string {
	if rec.GetWaiting() {
		return "after-" + rec.GetRunning()
	}
	return fmt.Sprintf("at-%d", run.GetTime().AsTime().UnixNano())
}

// owner returns who a schedule's jobs are created by.
func (s *Scheduler) owner(ctx context.Context, name string) (*access.Principal, error) {
	if name != Owner {
		return s.cfg.Operators.Principal(ctx, name)
	}
	everywhere := &fleetv1.RoleBinding{Role: fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR, Sites: []string{access.AllSites}}
	return &access.Principal{
		Name:     identity.Name{Kind: identity.KindOperator, ID: Owner},
		Operator: &fleetv1.Operator{Name: Owner, Bindings: []*fleetv1.RoleBinding{everywhere}},
	}, nil
}

// keep writes a schedule and what came of a time, and forgets what is old of its history.
func (s *Scheduler) keep(ctx context.Context, rec *storagev1.ScheduleRecord, run *fleetv1.ScheduleRun) error {
	rec.Schedule.Last = run
	old, err := s.oldRuns(ctx, rec.GetSchedule().GetName())
	if err != nil {
		return err
	}
	if run.GetProblem() != "" {
		s.cfg.Log.Warn("a schedule has created no job", "schedule", rec.GetSchedule().GetName(), "problem", run.GetProblem())
	}
	return s.cfg.Store.Update(context.WithoutCancel(ctx), func(w store.Writer) error {
		err := errors.Join(write(w, rec), writeRun(w, rec.GetSchedule().GetName(), run))
		for _, key := range old {
			err = errors.Join(err, w.Delete(store.TableScheduleRuns, key))
		}
		return err
	})
}
