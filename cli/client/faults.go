package client

import (
	"context"
	"errors"
	"io"

	"github.com/bandfleet/bandfleet/cli/exit"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// ListFaults returns faults, the newest first: at least limit of them if there are so many, all when limit is 0.
func (c *Client) ListFaults(ctx context.Context, r *fleetv1.ListFaultsRequest, limit int) (*fleetv1.ListFaultsResponse, error) {
	size := pageSize
	if limit > 0 {
		size = min(limit, pageSize)
	}
	return all(ctx, func(ctx context.Context, token string) (*fleetv1.ListFaultsResponse, error) {
		r.PageSize, r.PageToken = int32(size), token
		return c.Faults.ListFaults(ctx, r)
	}, func(so *fleetv1.ListFaultsResponse) bool { return limit > 0 && len(so.GetFaults()) >= limit })
}

// ListIncidents returns incidents, the newest first.
func (c *Client) ListIncidents(ctx context.Context, r *fleetv1.ListIncidentsRequest) (*fleetv1.ListIncidentsResponse, error) {
	return all(ctx, func(ctx context.Context, token string) (*fleetv1.ListIncidentsResponse, error) {
		r.PageSize, r.PageToken = pageSize, token
		return c.Faults.ListIncidents(ctx, r)
	}, nil)
}

// WatchFaults follows faults over broken connections, however long the server is away, until ctx ends or the server refuses. changed is
// called with each message; lost when the connection broke, once until the next message.
func (c *Client) WatchFaults(ctx context.Context, r *fleetv1.WatchFaultsRequest, changed func(*fleetv1.WatchFaultsResponse), lost func(error)) error {
	retry := newRetry()
	away := false
	for {
		heard, err := c.watchFaultsOnce(ctx, r, changed)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !exit.Is(err, exit.Unreachable):
			return err
		}
		if heard {
			retry.Reset()
			away = false
		}
		if !away {
			lost(err)
			away = true
		}
		if err := sleep(ctx, retry.NextBackOff()); err != nil {
			return err
		}
	}
}

// watchFaultsOnce follows faults on one stream.
func (c *Client) watchFaultsOnce(ctx context.Context, r *fleetv1.WatchFaultsRequest, changed func(*fleetv1.WatchFaultsResponse)) (heard bool, err error) {
	stream, err := c.Faults.WatchFaults(ctx, r)
	if err != nil {
		return false, err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return heard, exit.Errorf(exit.Unreachable, "the server ended the watch")
		}
		if err != nil {
			return heard, err
		}
		heard = true
		changed(m)
	}
}
