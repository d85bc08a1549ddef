package schedule

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// Verify reads every schedule and its history. The error names the first that is not what it should be; found says in words how many there
// are.
func Verify(ctx context.Context, st store.Store) (found string, err error) {
	err = st.View(ctx, func(v store.Snapshot) error {
		schedules, runs := 0, 0
		var bad error
		err := v.Scan(store.TableSchedules, nil, nil, func(key, text []byte) bool {
			schedules++
			bad = errors.Join(ctx.Err(), verifySchedule(string(key), text))
			return bad == nil
		})
		if err := errors.Join(err, bad); err != nil {
			return err
		}
		err = v.Scan(store.TableScheduleRuns, nil, nil, func(key, text []byte) bool {
			runs++
			if bad = errors.Join(ctx.Err(), proto.Unmarshal(text, &fleetv1.ScheduleRun{})); bad != nil {
				name, _, _ := strings.Cut(string(key), "\x00")
				bad = fmt.Errorf("history of schedule %q: %w", name, bad)
			}
			return bad == nil
		})
		found = fmt.Sprintf("%d schedules, %d of their times", schedules, runs)
		return errors.Join(err, bad)
	})
	return found, err
}

func verifySchedule(key string, text []byte) error {
	rec := &storagev1.ScheduleRecord{}
	if err := proto.Unmarshal(text, rec); err != nil {
		return fmt.Errorf("schedule %q: %w", key, err)
	}
	s := rec.GetSchedule()
	if s.GetName() != key {
		return fmt.Errorf("schedule %q: in its place lies %q", key, s.GetName())
	}
	if _, err := newClock(s.GetCron(), s.GetTimeZone(), s.GetCreated().AsTime()); err != nil {
		return fmt.Errorf("schedule %q: %w", key, err)
	}
	return nil
}
