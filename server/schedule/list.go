package schedule

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/paging"
	"github.com/bandfleet/bandfleet/server/store"
)

// Sites returns the sites that a schedule is for, or NOT_FOUND. One that comes with the server is for all of them.
func (s *Scheduler) Sites(ctx context.Context, name string) ([]string, error) {
	rec, err := s.read(ctx, name)
	return rec.GetSchedule().GetSites(), err
}

// Get returns a schedule.
func (s *Scheduler) Get(ctx context.Context, name string) (*fleetv1.Schedule, error) {
	rec, err := s.read(ctx, name)
	return rec.GetSchedule(), err
}

// List returns the schedules of which the caller may read a site, by name.
func (s *Scheduler) List(ctx context.Context, p *access.Principal, r *fleetv1.ListSchedulesRequest) (*fleetv1.ListSchedulesResponse, error) {
	size, err := paging.Size(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	if r.GetPageToken() != "" && !validName(r.GetPageToken()) {
		return nil, paging.BadToken()
	}
	answer := &fleetv1.ListSchedulesResponse{}
	err = s.cfg.Store.View(ctx, func(v store.Snapshot) error {
		answer.Reset()
		return page(v, p, r.GetPageToken(), size, answer)
	})
	return answer, err
}

// page fills a page with what comes after the schedule with this name.
func page(v store.Snapshot, p *access.Principal, after string, size int, answer *fleetv1.ListSchedulesResponse) error {
	var bad error
	err := v.Scan(store.TableSchedules, nil, store.Key(after), func(_, text []byte) bool {
		rec := &storagev1.ScheduleRecord{}
		if bad = proto.Unmarshal(text, rec); bad != nil {
			return false
		}
		shown := rec.GetSchedule()
		if shown.GetName() == after || !mayRead(p, shown.GetSites()) {
			return true
		}
		if n := len(answer.GetSchedules()); n == size {
			answer.NextPageToken = answer.GetSchedules()[n-1].GetName()
			return false
		}
		answer.Schedules = append(answer.Schedules, shown)
		return true
	})
	return errors.Join(err, bad)
}

func mayRead(p *access.Principal, sites []string) bool {
	for _, site := range sites {
		if p.May(access.Read, site) {
			return true
		}
	}
	return false
}
