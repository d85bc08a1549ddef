package link

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// TestReturnIsSpreadAsTheServerAsked: the pause after a loss, at the two ends of chance, for the first dial and for those after
// it that fail.
func TestReturnIsSpreadAsTheServerAsked(t *testing.T) {
	cut := errors.New("cut")
	for name, tc := range map[string]struct {
		within time.Duration
		// widest are the longest pauses of the dials after the loss, in order.
		widest []time.Duration
	}{
		"an older server":       {0, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}},
		"a negative time":       {-time.Minute, []time.Duration{time.Second, 2 * time.Second}},
		"half a minute":         {30 * time.Second, []time.Duration{30 * time.Second, 30 * time.Second, 30 * time.Second, 30 * time.Second, 30 * time.Second, 32 * time.Second, time.Minute}},
		"longer than is obeyed": {24 * time.Hour, []time.Duration{5 * time.Minute, 5 * time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			timing := defaultTiming()
			for attempt, want := range tc.widest {
				end := ending{err: cut, returnWithin: tc.within}
				if attempt == 0 {
					end.lasted = time.Hour
				}
				if got := timing.pause(end, attempt, 0); got != 0 {
					t.Errorf("dial %d: the shortest pause is %v, want none: the spread is even from the loss on", attempt, got)
				}
				if got := timing.pause(end, attempt, 0.5); got != want/2 {
					t.Errorf("dial %d: the middle pause is %v, want %v", attempt, got, want/2)
				}
			}
		})
	}
}

// TestReturnWithinIsOfTheLostSession: what a Welcome said holds after a loss and the failed dials that follow it, and no longer
// after a session that ended with a goodbye, or whose server did not say.
func TestReturnWithinIsOfTheLostSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, runner := newFleet(t), newFakeRunner()
		// Chance at its greatest, so that the whole of a pause is seen.
		startLink(t, f, runner, func(l *Link) { l.chance = func() float64 { return 1 } })
		lose := func(c *conversation) { c.over <- status.Error(codes.Unavailable, "cut") }
		leave := func(c *conversation) { goodbye(t, c, 0, false) }
		c := <-f.sessions
		for i, step := range []struct {
			within *durationpb.Duration
			end    func(*conversation)
			want   time.Duration
		}{
			{durationpb.New(20 * time.Second), lose, 20 * time.Second},
			{durationpb.New(20 * time.Second), leave, 2 * time.Second},
			{nil, lose, 4 * time.Second},
		} {
			c.returnWithin = step.within
			c.welcome(t)
			runner.want(t, "started")
			ended := time.Now()
			step.end(c)
			runner.want(t, "ended")
			c = <-f.sessions
			if waited := time.Since(ended); waited != step.want {
				t.Errorf("session %d: came back after %v, want %v", i+1, waited, step.want)
			}
		}
		// The server answers none of the dials after this loss.
		c.returnWithin = durationpb.New(2 * time.Minute)
		c.welcome(t)
		runner.want(t, "started")
		lost := time.Now()
		lose(c)
		runner.want(t, "ended")
		for i, want := range []time.Duration{2 * time.Minute, 4 * time.Minute} {
			c = <-f.sessions
			if waited := time.Since(lost); waited != want {
				t.Errorf("dial %d after the loss came after %v, want %v: failed dials must not gather a fleet that was spread", i+1, waited, want)
			}
			c.over <- status.Error(codes.Unavailable, "not up yet")
		}
	})
}
