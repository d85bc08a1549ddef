package client

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/bandfleet/bandfleet/cli/exit"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// Watcher hears what a watch tells.
type Watcher interface {
	// Changed is called with each message; after a broken connection the first ones hold everything again.
	Changed(*fleetv1.WatchJobResponse)
	// Lost is called when the connection broke, once until the next Changed.
	Lost(error)
}

// WatchJob follows a job until it is done, over broken connections and however long the server is away, until ctx ends: the job
// goes on without either. It returns nil when the job is done, ctx's error when ctx ended first.
func (c *Client) WatchJob(ctx context.Context, id string, w Watcher) error {
	retry := newRetry()
	lost := false
	for {
		heard, done, err := c.watchOnce(ctx, id, w)
		switch {
		case done:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !exit.Is(err, exit.Unreachable):
			return err
		}
		if heard {
			retry.Reset()
			lost = false
		}
		if !lost {
			w.Lost(err)
			lost = true
		}
		if err := sleep(ctx, retry.NextBackOff()); err != nil {
			return err
		}
	}
}

// watchOnce follows a job on one stream. A stream that ends before the job is done counts as a broken connection.
func (c *Client) watchOnce(ctx context.Context, id string, w Watcher) (heard, done bool, err error) {
	// Without the wait's deadline, which gRPC would tell the server: the end that the server then makes of the stream may arrive
	// before ours, and looks like a broken connection.
	streaming, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	stream, err := c.Jobs.WatchJob(streaming, &fleetv1.WatchJobRequest{Id: id})
	if err != nil {
		return false, false, err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return heard, done, exit.Errorf(exit.Unreachable, "job %q: the server ended the watch", id)
		}
		if err != nil {
			return heard, false, err
		}
		heard = true
		done = done || m.GetJob().GetState() == fleetv1.JobState_JOB_STATE_DONE
		w.Changed(m)
	}
}

func newRetry() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 200 * time.Millisecond
	b.MaxInterval = 5 * time.Second
	b.RandomizationFactor = 0.5
	return b
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
