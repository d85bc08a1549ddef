package host

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// WatchInterval is how often services are looked at where the operating system does not tell of changes.
const WatchInterval = time.Second

// WatchByPolling implements Services.Watch by reading each service every interval, and whenever woken says that something has changed; woken
// may be nil. A service that cannot be read at the moment is read again at the next turn; when none of several turns gives any, the last error
// is returned.
func WatchByPolling(ctx context.Context, interval time.Duration, names []string, woken <-chan struct{},
	state func(context.Context, string) (*actionv1.ServiceState, error), changed func(*actionv1.ServiceState),
) error {
	w := pollWatch{names: names, state: state, changed: changed, last: map[string]*actionv1.ServiceState{}}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := w.turn(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return WaitError(ctx)
		case <-ticker.C:
		case <-woken:
		}
	}
}

// errWatchLost ends a watch at once: what it goes through is gone.
var errWatchLost = errors.New("the connection by which services are watched is lost")

// pollWatch is a watch by polling under way.
type pollWatch struct {
	names   []string
	state   func(context.Context, string) (*actionv1.ServiceState, error)
	changed func(*actionv1.ServiceState)
	last    map[string]*actionv1.ServiceState
	// failed is how many turns in a row gave nothing.
	failed int
}

// patientTurns is how many turns may give nothing before the watch is over.
const patientTurns = 5

func (w *pollWatch) turn(ctx context.Context) error {
	var lastErr error
	gave := len(w.names) == 0
	for _, name := range w.names {
		now, err := w.state(ctx, name)
		if ctx.Err() != nil {
			return WaitError(ctx)
		}
		if errors.Is(err, errWatchLost) {
			return err
		}
		if err != nil {
			lastErr = err
			continue
		}
		gave = true
		if before := w.last[name]; before == nil || !proto.Equal(before, now) {
			w.last[name] = now
			w.changed(now)
		}
	}
	if w.failed++; gave {
		w.failed = 0
	}
	if w.failed >= patientTurns {
		return lastErr
	}
	return nil
}
