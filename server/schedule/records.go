package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/store"
)

// read returns a schedule's record; NOT_FOUND when there is none.
func read(r store.Reader, name string) (*storagev1.ScheduleRecord, error) {
	text, err := r.Get(store.TableSchedules, store.Key(name))
	if errors.Is(err, store.ErrNotFound) {
		return nil, access.NotFound(access.Schedule, name).At("name")
	}
	if err != nil {
		return nil, fmt.Errorf("schedule %q: %w", name, err)
	}
	rec := &storagev1.ScheduleRecord{}
	if err := proto.Unmarshal(text, rec); err != nil {
		return nil, fmt.Errorf("schedule %q: %w", name, err)
	}
	return rec, nil
}

func (s *Scheduler) read(ctx context.Context, name string) (rec *storagev1.ScheduleRecord, err error) {
	err = s.cfg.Store.View(ctx, func(v store.Snapshot) error {
		rec, err = read(v, name)
		return err
	})
	return rec, err
}

func write(w store.Writer, rec *storagev1.ScheduleRecord) error {
	text, err := proto.Marshal(rec)
	if err != nil {
		return err
	}
	return w.Put(store.TableSchedules, store.Key(rec.GetSchedule().GetName()), text)
}

func writeRun(w store.Writer, name string, run *fleetv1.ScheduleRun) error {
	text, err := proto.Marshal(run)
	if err != nil {
		return err
	}
	return w.Put(store.TableScheduleRuns, store.ScheduleRunKey(name, run.GetTime().AsTime().UnixNano()), text)
}

// all reads every schedule.
func (s *Scheduler) all(ctx context.Context) (recs []*storagev1.ScheduleRecord, err error) {
	err = s.cfg.Store.View(ctx, func(v store.Snapshot) error {
		recs = nil
		var bad error
		err := v.Scan(store.TableSchedules, nil, nil, func(key, text []byte) bool {
			rec := &storagev1.ScheduleRecord{}
			if bad = proto.Unmarshal(text, rec); bad != nil {
				bad = fmt.Errorf("schedule %q: %w", key, bad)
			}
			recs = append(recs, rec)
			return bad == nil
		})
		return errors.Join(err, bad)
	})
	return recs, err
}

// plan sets a schedule's next time after t; one that is paused, or never comes again, has none.
func (s *Scheduler) plan(rec *storagev1.ScheduleRecord, t time.Time) error {
	rec.Due, rec.Jitter, rec.Schedule.Next = nil, nil, nil
	if rec.GetSchedule().GetPaused() {
		return nil
	}
	c, err := newClock(rec.GetSchedule().GetCron(), rec.GetSchedule().GetTimeZone(), t)
	if err != nil {
		return err
	}
	due, ok := c.after(t)
	if !ok {
		return nil
	}
	jitter := s.cfg.Jitter(rec.GetSchedule().GetJitter().AsDuration())
	rec.Due, rec.Jitter, rec.Schedule.Next = timestamppb.New(due), durationpb.New(jitter), timestamppb.New(due.Add(jitter))
	return nil
}

// comes is when a schedule's next time is acted upon; zero when there is none.
func comes(rec *storagev1.ScheduleRecord) time.Time {
	if rec.GetDue() == nil {
		return time.Time{}
	}
	return rec.GetDue().AsTime().Add(rec.GetJitter().AsDuration())
}

// randomShare chooses a share of a duration evenly.
func randomShare(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d).Truncate(time.Second) //nolint:gosec // it only spreads the load
}
