package notify

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// maxCounted bounds how many waiting notices are counted for one receiver.
const maxCounted = 10000

// Receivers returns the receivers and how they fare.
func (d *Desk) Receivers(ctx context.Context) (out []*fleetv1.Receiver, err error) {
	for _, r := range d.receivers {
		shown := r.shown()
		if err := d.count(ctx, r, shown); err != nil {
			return nil, err
		}
		out = append(out, shown)
	}
	return out, nil
}

func (r *receiver) shown() *fleetv1.Receiver {
	r.mu.Lock()
	defer r.mu.Unlock()
	shown := &fleetv1.Receiver{Name: r.cfg.Name, Kind: r.cfg.Kind, Address: r.cfg.shownAddress(), Problem: r.problem, GivenUp: r.givenUp}
	if !r.delivered.IsZero() {
		shown.Delivered = timestamppb.New(r.delivered)
	}
	return shown
}

// count tells how many notices wait for a receiver, and since when.
func (d *Desk) count(ctx context.Context, r *receiver, shown *fleetv1.Receiver) error {
	return d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		shown.Waiting, shown.Oldest = 0, nil
		cursor, err := v.Get(store.TableNoticeCursors, store.Key(r.cfg.Name))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		routes, reading := readRoutes(v)
		if err := errors.Join(err, reading); err != nil {
			return err
		}
		var bad error
		err = v.Scan(store.TableNotices, nil, store.Number(store.ParseNumber(cursor)+1), func(_, text []byte) bool {
			n := &fleetv1.Notice{}
			if bad = proto.Unmarshal(text, n); bad != nil || routeFor(routes, r.cfg.Name, n) == nil {
				return bad == nil
			}
			if shown.Waiting++; shown.Waiting == 1 {
				shown.Oldest = n.GetTime()
			}
			return shown.GetWaiting() < maxCounted
		})
		return errors.Join(err, bad)
	})
}

// Test sends a receiver one message now and returns its answer. The attempt is in the audit trail, whatever comes of it.
func (d *Desk) Test(ctx context.Context, p *access.Principal, name string) (string, error) {
	r := d.find(name)
	if r == nil {
		return "", refusal.New(refusal.NotFound, "NOT_FOUND", "receiver %q: is not in the server's configuration", refusal.Shown(name)).
			At("receiver").Then("`fleetctl notify receivers` lists them")
	}
	err := d.cfg.Store.Update(ctx, func(w store.Writer) error {
		return audit.Append(w, d.cfg.Now(), audit.Entry{Actor: p.Name, Verb: "receiver.test", Object: "receiver/" + name})
	})
	if err != nil {
		return "", err
	}
	n := &fleetv1.Notice{Event: test, Summary: fmt.Sprintf("This is a test of receiver %s, asked for by %s", name, p.Name.ID)}
	d.stamp(n, 0)
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	answer, err := r.sender.send(ctx, &message{notice: n})
	if err != nil {
		return "", refusal.New(refusal.Unavailable, "RECEIVER", "receiver %q: %s", name, line(err.Error(), maxDetail)).
			Then("look at its address, certificate and secret in the server's configuration")
	}
	return answer, nil
}
