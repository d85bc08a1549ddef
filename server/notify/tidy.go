package notify

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// deleteAtOnce bounds the deletions of one update.
const deleteAtOnce = 50

// Sweep removes notices that every receiver is done with, and those that are too old for any.
func (d *Desk) Sweep(ctx context.Context) error {
	for {
		keys, err := d.old(ctx)
		if err != nil || len(keys) == 0 {
			return err
		}
		err = d.cfg.Store.Update(ctx, func(w store.Writer) (err error) {
			for _, key := range keys {
				err = errors.Join(err, w.Delete(store.TableNotices, key))
			}
			return err
		})
		if err != nil || len(keys) < deleteAtOnce {
			return err
		}
	}
}

// old returns the first notices that can go.
func (d *Desk) old(ctx context.Context) (keys [][]byte, err error) {
	err = d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		keys = nil
		done, err := d.allDone(v)
		if err != nil {
			return err
		}
		var bad error
		err = v.Scan(store.TableNotices, nil, nil, func(key, text []byte) bool {
			n := &fleetv1.Notice{}
			if bad = proto.Unmarshal(text, n); bad != nil {
				return false
			}
			if store.ParseNumber(key) > done && d.cfg.Now().Sub(noticeTime(n)) <= giveUpAfter {
				return false
			}
			keys = append(keys, append([]byte(nil), key...))
			return len(keys) < deleteAtOnce
		})
		return errors.Join(err, bad)
	})
	return keys, err
}

// allDone is the sequence up to which every receiver is done.
func (d *Desk) allDone(v store.Snapshot) (uint64, error) {
	done, err := last(v)
	for _, r := range d.receivers {
		text, reading := v.Get(store.TableNoticeCursors, store.Key(r.cfg.Name))
		if errors.Is(reading, store.ErrNotFound) {
			continue
		}
		err = errors.Join(err, reading)
		done = min(done, store.ParseNumber(text))
	}
	return done, err
}

// Verify reads every notice and route. The error names the first that is not what it should be; found says in words how many there are.
func Verify(ctx context.Context, st store.Store) (found string, err error) {
	err = st.View(ctx, func(v store.Snapshot) error {
		notices, routes := 0, 0
		var bad error
		err := v.Scan(store.TableNotices, nil, nil, func(key, text []byte) bool {
			notices++
			if bad = errors.Join(ctx.Err(), proto.Unmarshal(text, &fleetv1.Notice{})); bad != nil {
				bad = fmt.Errorf("notice %d: %w", store.ParseNumber(key), bad)
			}
			return bad == nil
		})
		if err := errors.Join(err, bad); err != nil {
			return err
		}
		err = v.Scan(store.TableRoutes, nil, nil, func(key, text []byte) bool {
			routes++
			bad = errors.Join(ctx.Err(), verifyRoute(string(key), text))
			return bad == nil
		})
		found = fmt.Sprintf("%d notices, %d routes", notices, routes)
		return errors.Join(err, bad)
	})
	return found, err
}

func verifyRoute(key string, text []byte) error {
	r := &fleetv1.Route{}
	if err := proto.Unmarshal(text, r); err != nil {
		return fmt.Errorf("route %q: %w", key, err)
	}
	if r.GetName() != key {
		return fmt.Errorf("route %q: in its place lies %q", key, r.GetName())
	}
	return nil
}
