package notify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// Run hands notices to receivers until ctx ends. Each receiver has a task of its own, so that a dead one holds no other up.
func (d *Desk) Run(ctx context.Context) {
	var tasks sync.WaitGroup
	for _, r := range d.receivers {
		tasks.Go(func() { d.serve(ctx, r) })
	}
	tasks.Go(func() { d.listen(ctx) })
	tasks.Wait()
}

// listen wakes the receivers' tasks when there are new notices.
func (d *Desk) listen(ctx context.Context) {
	for range d.cfg.Store.Watch(ctx, store.TableNotices, store.TableRoutes) {
		for _, r := range d.receivers {
			select {
			case r.wake <- struct{}{}:
			default:
			}
		}
	}
}

// serve hands one receiver what is there for it, in order, and waits for more.
func (d *Desk) serve(ctx context.Context, r *receiver) {
	pause := newPause()
	for ctx.Err() == nil {
		more, err := d.round(ctx, r)
		wait := lookEvery
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = pause.NextBackOff()
			r.note(err)
			d.cfg.Log.Warn("a receiver of notices did not take one; it is tried again", "receiver", r.cfg.Name, "again_in", wait.Round(time.Second), "error", line(err.Error(), maxDetail))
		case more:
			pause.Reset()
			continue
		default:
			pause.Reset()
		}
		r.sleep(ctx, wait, err == nil)
	}
}

func newPause() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = time.Second, 5*time.Minute
	return b
}

// sleep waits; a task with nothing to do is woken by news, one that failed waits its time.
func (r *receiver) sleep(ctx context.Context, wait time.Duration, wakeable bool) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	var wake chan struct{}
	if wakeable {
		wake = r.wake
	}
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-wake:
	}
}

// round hands over the next notices, at most a batch, and says whether there may be more.
func (d *Desk) round(ctx context.Context, r *receiver) (more bool, err error) {
	at, err := d.begin(ctx, r)
	if err != nil {
		return false, err
	}
	waiting, routes, err := d.read(ctx, at)
	if err != nil {
		return false, err
	}
	for _, w := range waiting {
		if err := d.hand(ctx, r, routes, w.notice); err != nil {
			return false, errors.Join(err, d.passed(ctx, r, at))
		}
		at = w.sequence
	}
	return len(waiting) == batch, d.passed(ctx, r, at)
}

// begin returns the sequence of the last notice that a receiver is done with. A new receiver begins with what comes from now on.
func (d *Desk) begin(ctx context.Context, r *receiver) (at uint64, err error) {
	known := true
	err = d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		text, err := v.Get(store.TableNoticeCursors, store.Key(r.cfg.Name))
		if known = !errors.Is(err, store.ErrNotFound); known {
			at = store.ParseNumber(text)
			return err
		}
		at, err = last(v)
		return err
	})
	if err != nil || known {
		return at, err
	}
	return at, d.write(ctx, r, at)
}

// passed keeps how far a receiver is.
func (d *Desk) passed(ctx context.Context, r *receiver, at uint64) error {
	return d.write(context.WithoutCancel(ctx), r, at)
}

func (d *Desk) write(ctx context.Context, r *receiver, at uint64) error {
	return d.cfg.Store.Update(ctx, func(w store.Writer) error {
		old, err := w.Get(store.TableNoticeCursors, store.Key(r.cfg.Name))
		if err == nil && store.ParseNumber(old) == at {
			return nil
		}
		return w.Put(store.TableNoticeCursors, store.Key(r.cfg.Name), store.Number(at))
	})
}

// waiting is a notice in its place.
type waiting struct {
	sequence uint64
	notice   *fleetv1.Notice
}

// read returns the notices after one, at most a batch, and the routes.
func (d *Desk) read(ctx context.Context, after uint64) (next []waiting, routes []*fleetv1.Route, err error) {
	err = d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		next = nil
		var bad error
		err := v.Scan(store.TableNotices, nil, store.Number(after+1), func(key, text []byte) bool {
			n := &fleetv1.Notice{}
			if bad = proto.Unmarshal(text, n); bad != nil {
				return false
			}
			next = append(next, waiting{store.ParseNumber(key), n})
			return len(next) < batch
		})
		var reading error
		routes, reading = readRoutes(v)
		return errors.Join(err, bad, reading)
	})
	return next, routes, err
}

// hand brings one notice to a receiver when a route says so. An error means that it is to be tried again.
func (d *Desk) hand(ctx context.Context, r *receiver, routes []*fleetv1.Route, n *fleetv1.Notice) error {
	route := routeFor(routes, r.cfg.Name, n)
	if route == nil {
		return nil
	}
	if age := d.cfg.Now().Sub(noticeTime(n)); age > giveUpAfter {
		return d.giveUp(r, n, fmt.Errorf("it is %s old", age.Round(time.Hour)))
	}
	err := d.send(ctx, r, route, n)
	if no, never := errors.AsType[refused](err); never {
		return d.giveUp(r, n, no)
	}
	return err
}

func (d *Desk) send(ctx context.Context, r *receiver, route *fleetv1.Route, n *fleetv1.Notice) error {
	text, err := render(route.GetTemplate(), n)
	if err != nil {
		return refused{fmt.Errorf("route %q: %w", route.GetName(), err)}
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if _, err := r.sender.send(ctx, &message{notice: n, text: text}); err != nil {
		return err
	}
	r.took(d.cfg.Now())
	return nil
}

// giveUp spares a receiver a notice and says so: nothing is lost silently.
func (d *Desk) giveUp(r *receiver, n *fleetv1.Notice, why error) error {
	d.cfg.Log.Error("a notice was given up", "receiver", r.cfg.Name, "notice", n.GetId(), "event", n.GetEvent(), "object", n.GetObject(), "why", line(why.Error(), maxDetail))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.givenUp++
	r.problem = n.GetId() + " was given up: " + line(why.Error(), maxDetail)
	return nil
}

func (r *receiver) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problem = line(err.Error(), maxDetail)
}

func (r *receiver) took(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problem, r.delivered = "", now
}
