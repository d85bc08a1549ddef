package faults

import (
	"context"
	"slices"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// watchPause is how long a watch lets changes come together before it tells them.
const watchPause = 200 * time.Millisecond

// Watch tells each fault of the caller's sites that comes or changes, beginning with those that are open; it ends with ctx, or when send
// fails. When a slow reader missed some it is told all that are open anew.
func (d *Desk) Watch(ctx context.Context, p *access.Principal, r *fleetv1.WatchFaultsRequest, send func(*fleetv1.WatchFaultsResponse) error) error {
	l := &filter{p: p, resolved: true, req: &fleetv1.ListFaultsRequest{Site: r.GetSite(), Terminal: r.GetTerminal()}}
	if err := d.findTerminal(ctx, l); err != nil {
		return err
	}
	if r.GetSite() != "" {
		if _, err := d.cfg.Inventory.Site(ctx, r.GetSite()); err != nil || !p.May(access.Read, r.GetSite()) {
			return refusal.New(refusal.Invalid, "NO_SITE", "site %q: not found", refusal.Shown(r.GetSite())).At("site").Then("look at `fleetctl get sites`")
		}
	}
	// Before the first look, so that nothing is missed between the two.
	events := d.cfg.Store.Watch(ctx, store.TableFaults)
	if err := d.tellAll(ctx, l, send); err != nil {
		return err
	}
	for {
		numbers, resync, ok := gather(ctx, events)
		if !ok {
			return ctx.Err()
		}
		var err error
		if resync {
			err = d.tellAll(ctx, l, send)
		} else {
			err = d.tellSome(ctx, l, numbers, send)
		}
		if err != nil {
			return err
		}
	}
}

// gather waits for a change and takes those that follow soon with it.
func gather(ctx context.Context, events <-chan store.Event) (numbers []uint64, resync, ok bool) {
	var pause <-chan time.Time
	for {
		select {
		case e, open := <-events:
			if !open {
				return nil, false, false
			}
			resync = resync || e.Resync
			numbers = append(numbers, store.LastNumber(e.Key))
			if pause == nil {
				timer := time.NewTimer(watchPause)
				defer timer.Stop()
				pause = timer.C
			}
		case <-pause:
			slices.Sort(numbers)
			return slices.Compact(numbers), resync, true
		case <-ctx.Done():
			return nil, false, false
		}
	}
}

// tellAll tells all that are open.
func (d *Desk) tellAll(ctx context.Context, l *filter, send func(*fleetv1.WatchFaultsResponse) error) error {
	if err := send(&fleetv1.WatchFaultsResponse{Reset_: true}); err != nil {
		return err
	}
	numbers, err := d.numbers(ctx, &filter{req: l.req})
	if err != nil {
		return err
	}
	slices.Reverse(numbers)
	for chunk := range slices.Chunk(numbers, readChunk) {
		if err := d.tell(ctx, l, chunk, true, send); err != nil {
			return err
		}
	}
	return send(&fleetv1.WatchFaultsResponse{Current: true})
}

func (d *Desk) tellSome(ctx context.Context, l *filter, numbers []uint64, send func(*fleetv1.WatchFaultsResponse) error) error {
	for chunk := range slices.Chunk(numbers, readChunk) {
		if err := d.tell(ctx, l, chunk, false, send); err != nil {
			return err
		}
	}
	return nil
}

// tell reads faults in one view and sends them after it: a view must not wait for a reader.
func (d *Desk) tell(ctx context.Context, l *filter, numbers []uint64, onlyOpen bool, send func(*fleetv1.WatchFaultsResponse) error) error {
	var found []*fleetv1.Fault
	err := d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		found = nil
		for _, n := range numbers {
			rec, err := readFault(v, n)
			if err != nil {
				return err
			}
			if l.wants(rec) && (!onlyOpen || isOpen(rec.GetFault())) {
				found = append(found, inList(rec.GetFault()))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, f := range found {
		if err := send(&fleetv1.WatchFaultsResponse{Fault: f}); err != nil {
			return err
		}
	}
	return nil
}
