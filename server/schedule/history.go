package schedule

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/paging"
	"github.com/bandfleet/bandfleet/server/store"
)

// forgetAtOnce bounds the runs that one update forgets.
const forgetAtOnce = 50

// oldRuns returns the keys of runs beyond what is kept, oldest last, a bounded number of them.
func (s *Scheduler) oldRuns(ctx context.Context, name string) (old [][]byte, err error) {
	err = s.cfg.Store.View(ctx, func(v store.Snapshot) error {
		n := 0
		old = nil
		return v.ScanBack(store.TableScheduleRuns, store.Prefix(name), nil, func(key, _ []byte) bool {
			if n++; n >= keptRuns {
				old = append(old, bytes.Clone(key))
			}
			return len(old) < forgetAtOnce
		})
	})
	return old, err
}

// Runs lists what came of a schedule's times, newest first.
func (s *Scheduler) Runs(ctx context.Context, r *fleetv1.ListScheduleRunsRequest) (*fleetv1.ListScheduleRunsResponse, error) {
	size, err := paging.Size(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	from, err := hex.DecodeString(r.GetPageToken())
	if err != nil || len(from) != 0 && !bytes.HasPrefix(from, store.Prefix(r.GetName())) {
		return nil, paging.BadToken()
	}
	if len(from) == 0 {
		from = nil
	}
	answer := &fleetv1.ListScheduleRunsResponse{}
	err = s.cfg.Store.View(ctx, func(v store.Snapshot) error {
		answer.Reset()
		if _, err := read(v, r.GetName()); err != nil {
			return err
		}
		return pageOfRuns(v, r.GetName(), from, size, answer)
	})
	return answer, err
}

func pageOfRuns(v store.Snapshot, name string, from []byte, size int, answer *fleetv1.ListScheduleRunsResponse) error {
	var bad error
	err := v.ScanBack(store.TableScheduleRuns, store.Prefix(name), from, func(key, text []byte) bool {
		if len(answer.GetRuns()) == size {
			answer.NextPageToken = hex.EncodeToString(key)
			return false
		}
		run := &fleetv1.ScheduleRun{}
		bad = proto.Unmarshal(text, run)
		answer.Runs = append(answer.Runs, run)
		return bad == nil
	})
	return errors.Join(err, bad)
}
