package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	// keptAttempts is how many attempts a record has at most.
	keptAttempts = 50
	// keptFor is how long a record is kept after its fault's end: one that comes back within a day is the same fault.
	keptFor = 25 * time.Hour
	// forgetAtOnce is how many records one update forgets.
	forgetAtOnce = 50
)

// readRemedy reads how far the policies are with a fault.
func (e *Engine) readRemedy(ctx context.Context, f *fleetv1.Fault) (rec *storagev1.RemedyRecord, err error) {
	rec = &storagev1.RemedyRecord{FaultId: f.GetId()}
	err = e.cfg.Store.View(ctx, func(v store.Snapshot) error {
		text, err := v.Get(store.TableRemedies, store.Key(f.GetId()))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("remedies of fault %q: %w", f.GetId(), err)
		}
		return proto.Unmarshal(text, rec)
	})
	return rec, err
}

func (e *Engine) writeRemedy(ctx context.Context, rec *storagev1.RemedyRecord, told ...*fleetv1.Notice) error {
	rec.Attempts = rec.GetAttempts()[max(0, len(rec.GetAttempts())-keptAttempts):]
	return e.cfg.Store.Update(ctx, func(w store.Writer) error {
		err := put(w, store.TableRemedies, store.Key(rec.GetFaultId()), rec)
		for _, n := range told {
			err = errors.Join(err, e.cfg.Notices.Post(w, n))
		}
		return err
	})
}

// Sweep forgets how far the policies were with faults that are long gone.
func (e *Engine) Sweep(ctx context.Context) error {
	var ids []string
	err := e.cfg.Store.View(ctx, func(v store.Snapshot) error {
		ids = nil
		return v.Scan(store.TableRemedies, nil, nil, func(key, _ []byte) bool {
			ids = append(ids, string(key))
			return true
		})
	})
	if err != nil {
		return err
	}
	var over []string
	for _, id := range ids {
		gone, err := e.longGone(ctx, id)
		if err != nil {
			return err
		}
		if gone {
			over = append(over, id)
		}
	}
	for some := range slices.Chunk(over, forgetAtOnce) {
		err := e.cfg.Store.Update(ctx, func(w store.Writer) (err error) {
			for _, id := range some {
				err = errors.Join(err, w.Delete(store.TableRemedies, store.Key(id)))
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// longGone says whether a fault cannot come back as itself any more.
func (e *Engine) longGone(ctx context.Context, id string) (bool, error) {
	f, err := e.cfg.Faults.Get(ctx, id)
	if isNotFound(err) {
		return true, nil
	}
	return err == nil && f.GetState() == fleetv1.FaultState_FAULT_STATE_RESOLVED && e.cfg.Now().Sub(f.GetResolved().AsTime()) > keptFor, err
}
