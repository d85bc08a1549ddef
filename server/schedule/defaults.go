package schedule

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/store"
)

// defaults are the schedules that come with the server: all of them only read.
func defaults() []*fleetv1.Schedule {
	return []*fleetv1.Schedule{{
		Name: "certificates", Cron: "30 2 * * *", Jitter: durationpb.New(time.Hour),
		Overlap: fleetv1.OverlapRule_OVERLAP_RULE_SKIP, CatchUp: fleetv1.CatchUpRule_CATCH_UP_RULE_ONCE,
		Spec: &fleetv1.JobSpec{
			Action: "cert-scan", Selection: &fleetv1.Selection{Expression: "online or !online"},
			Reason: "nightly look at certificates", ExpiresIn: durationpb.New(20 * time.Hour),
		},
		Sites: []string{access.AllSites}, Owner: Owner, Reason: "comes with the server",
	}}
}

// MakeDefaults makes the schedules that come with the server, once in the life of a store.
func (s *Scheduler) MakeDefaults(ctx context.Context) error {
	return s.cfg.Store.Update(ctx, func(w store.Writer) error {
		_, err := w.Get(store.TableMeta, store.Key(store.KeySchedules))
		if err == nil || !errors.Is(err, store.ErrNotFound) {
			return err
		}
		for _, d := range defaults() {
			if err := s.makeDefault(w, d); err != nil {
				return err
			}
		}
		return w.Put(store.TableMeta, store.Key(store.KeySchedules), store.Number(uint64(len(defaults()))))
	})
}

func (s *Scheduler) makeDefault(w store.Writer, d *fleetv1.Schedule) error {
	d.Created = timestamppb.New(s.cfg.Now())
	rec := &storagev1.ScheduleRecord{Schedule: d}
	if err := s.plan(rec, s.cfg.Now()); err != nil {
		return err
	}
	return errors.Join(write(w, rec), s.audit(w, nil, "schedule.create", d, d.GetReason(), created(d)...))
}
