package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

type jobWatchOptions struct {
	id      string
	timeout time.Duration
}

func newJobWatch(a *app) *cobra.Command {
	o := &jobWatchOptions{}
	c := &cobra.Command{
		Use:   "watch JOB",
		Short: "Follow a job to its end",
		Long: `Follows a job until every target has a result, then prints the summary; it ends with the code that "fleetctl fix" would
have ended with. A job that is paused, or that waits for approval, is not at its end: the wait goes on and says so once; with
--timeout it ends with code 7. What a paused job has not started when it expires is EXPIRED, so the wait ends in any case.
With -o json it prints {job, tasks} at the end, and the changes meanwhile on standard error.`,
		Example:           "  fleetctl job watch 01JD... --timeout 10m",
		Args:              takes(1, "JOB"),
		ValidArgsFunction: byPlace(a.completeJobs),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runJobWatch(cmd.Context(), a, o)
		},
	}
	spanVar(c.Flags(), &o.timeout, "timeout", 0, "longest time to wait; the job goes on after it (default: to the job's end)")
	return c
}

func runJobWatch(ctx context.Context, a *app, o *jobWatchOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	// Asked for first, so that a wrong name or an unreachable server is an error at once and not something to wait for.
	resp, err := c.Jobs.GetJob(ctx, &fleetv1.GetJobRequest{Id: o.id})
	if err != nil {
		return err
	}
	return a.follow(ctx, c, resp.GetJob(), o.timeout)
}
