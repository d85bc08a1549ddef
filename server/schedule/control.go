package schedule

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/store"
)

// Pause has nothing created by a schedule until it is resumed, and the reverse. Times that pass while it is paused are no times.
func (s *Scheduler) Pause(ctx context.Context, p *access.Principal, r *fleetv1.PauseScheduleRequest) (*fleetv1.Schedule, error) {
	if err := audit.CheckReason("reason", r.GetReason()); err != nil {
		return nil, err
	}
	verb := map[bool]string{true: "schedule.pause", false: "schedule.resume"}[r.GetPaused()]
	return s.change(ctx, r.GetName(), func(w store.Writer, rec *storagev1.ScheduleRecord) error {
		if rec.GetSchedule().GetPaused() == r.GetPaused() {
			return nil
		}
		rec.Schedule.Paused, rec.Schedule.PausedBy, rec.Waiting = r.GetPaused(), "", false
		if r.GetPaused() {
			rec.Schedule.PausedBy = p.Name.ID
		}
		return errors.Join(s.plan(rec, s.cfg.Now()), write(w, rec), s.audit(w, p, verb, rec.GetSchedule(), r.GetReason()))
	})
}

// change changes a schedule while nothing acts upon it.
func (s *Scheduler) change(ctx context.Context, name string, do func(store.Writer, *storagev1.ScheduleRecord) error) (after *fleetv1.Schedule, err error) {
	err = s.alone(ctx, func() error {
		return s.cfg.Store.Update(ctx, func(w store.Writer) error {
			rec, err := read(w, name)
			if err != nil {
				return err
			}
			after = rec.GetSchedule()
			return do(w, rec)
		})
	})
	if err != nil {
		return nil, err
	}
	s.poke()
	return after, nil
}

// Delete removes a schedule and its history. Its jobs stay.
func (s *Scheduler) Delete(ctx context.Context, p *access.Principal, r *fleetv1.DeleteScheduleRequest) error {
	if err := audit.CheckReason("reason", r.GetReason()); err != nil {
		return err
	}
	_, err := s.change(ctx, r.GetName(), func(w store.Writer, rec *storagev1.ScheduleRecord) error {
		return errors.Join(w.Delete(store.TableSchedules, store.Key(r.GetName())), s.audit(w, p, "schedule.delete", rec.GetSchedule(), r.GetReason()))
	})
	if err != nil {
		return err
	}
	return s.forget(context.WithoutCancel(ctx), r.GetName())
}

// forget removes the whole history of a schedule that is gone.
func (s *Scheduler) forget(ctx context.Context, name string) error {
	for {
		var keys [][]byte
		err := s.cfg.Store.View(ctx, func(v store.Snapshot) error {
			keys = nil
			return v.Scan(store.TableScheduleRuns, store.Prefix(name), nil, func(key, _ []byte) bool {
				keys = append(keys, slices.Clone(key))
				return len(keys) < forgetAtOnce
			})
		})
		if err != nil || len(keys) == 0 {
			return err
		}
		err = s.cfg.Store.Update(ctx, func(w store.Writer) (err error) {
			for _, key := range keys {
				err = errors.Join(err, w.Delete(store.TableScheduleRuns, key))
			}
			return err
		})
		if err != nil {
			return err
		}
	}
}

// RunNow creates a schedule's job now, in the caller's name. The same request_id answers with the same job.
func (s *Scheduler) RunNow(ctx context.Context, p *access.Principal, r *fleetv1.RunScheduleRequest) (run *fleetv1.ScheduleRun, err error) {
	if _, err := requests.New(p.Name.String(), "schedule.run", r); err != nil {
		return nil, err
	}
	if err := audit.CheckReason("reason", r.GetReason()); err != nil {
		return nil, err
	}
	err = s.alone(ctx, func() error {
		rec, err := s.read(ctx, r.GetName())
		if err != nil {
			return err
		}
		now := timestamppb.New(s.cfg.Now())
		run = &fleetv1.ScheduleRun{Time: now, Acted: now, By: p.Name.ID}
		if r.GetReason() != "" {
			rec.Schedule.Spec.Reason = r.GetReason()
		}
		if err := s.ask(ctx, p, rec, run, r.GetRequestId()); err != nil {
			return err
		}
		return s.noteRun(ctx, r.GetName(), run)
	})
	if err != nil {
		return nil, err
	}
	return run, nil
}

// noteRun keeps a run that was asked for by hand. The schedule's own record was changed for it only in memory.
func (s *Scheduler) noteRun(ctx context.Context, name string, run *fleetv1.ScheduleRun) error {
	rec, err := s.read(ctx, name)
	if err != nil {
		return err
	}
	rec.Running = run.GetJobId()
	return s.keep(ctx, rec, run)
}

// audit records a change in the chain of each site of the schedule, or in the fleet's when there are many: an update is bounded.
func (s *Scheduler) audit(w store.Writer, p *access.Principal, verb string, of *fleetv1.Schedule, reason string, changes ...*storagev1.AuditChange) error {
	chains := of.GetSites()
	if len(chains) > maxChains || slices.Contains(chains, access.AllSites) {
		chains = []string{""}
	}
	var err error
	for _, site := range chains {
		entry := audit.Entry{Site: site, Verb: verb, Object: "schedule/" + of.GetName(), Reason: reason, Changes: changes}
		if p != nil {
			entry.Actor = p.Name
		}
		err = errors.Join(err, audit.Append(w, s.cfg.Now(), entry))
	}
	return err
}

// maxChains bounds the audit records of one change.
const maxChains = 20

// created is what an auditor wants to know of a new schedule.
func created(s *fleetv1.Schedule) []*storagev1.AuditChange {
	changes := []*storagev1.AuditChange{
		audit.Change("cron", "", s.GetCron()), audit.Change("time_zone", "", s.GetTimeZone()),
		audit.Change("jitter", "", s.GetJitter().AsDuration().Round(time.Second).String()),
		audit.Change("action", "", s.GetSpec().GetAction()),
	}
	for _, name := range slices.Sorted(maps.Keys(s.GetSpec().GetParams())) {
		changes = append(changes, audit.Change("param."+name, "", s.GetSpec().GetParams()[name]))
	}
	return changes
}
