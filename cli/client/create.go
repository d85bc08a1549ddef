package client

import (
	"context"

	"github.com/bandfleet/bandfleet/cli/exit"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// CreateJob creates a job, and tries again with the same request id while the server cannot be reached, until ctx ends: the
// same request makes one job, however often it arrives. lost is called once when it has to be tried again.
func (c *Client) CreateJob(ctx context.Context, req *fleetv1.CreateJobRequest, lost func(error)) (*fleetv1.Job, error) {
	return persist(ctx, lost, func() (*fleetv1.Job, error) {
		resp, err := c.Jobs.CreateJob(ctx, req)
		return resp.GetJob(), err
	})
}

// RetryJob makes a new job of one that is done, as persistently as CreateJob.
func (c *Client) RetryJob(ctx context.Context, req *fleetv1.RetryJobRequest, lost func(error)) (*fleetv1.Job, error) {
	return persist(ctx, lost, func() (*fleetv1.Job, error) {
		resp, err := c.Jobs.RetryJob(ctx, req)
		return resp.GetJob(), err
	})
}

// persist repeats a call that may be repeated while the server cannot be reached.
func persist(ctx context.Context, lost func(error), call func() (*fleetv1.Job, error)) (*fleetv1.Job, error) {
	retry := newRetry()
	told := false
	for {
		job, err := call()
		if err == nil {
			return job, nil
		}
		if exit.Is(err, exit.Unreachable) && !told {
			lost(err)
			told = true
		}
		if !exit.Is(err, exit.Unreachable) || sleep(ctx, retry.NextBackOff()) != nil {
			return nil, err
		}
	}
}
