package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newJob(a *app) *cobra.Command {
	l := newGetJobs(a)
	l.Use, l.Aliases, l.Example = "list", nil, "  fleetctl job list --active"
	l.Args = takes(0)
	return newGroup("job", "Watch, show, explain and cancel jobs",
		"A job is an action on the terminals that were chosen; on each of them it is a task. Jobs are made with `fleetctl fix`.",
		"  fleetctl job watch 01JD...\n  fleetctl job show 01JD... lyon-01\n  fleetctl job why 01JD...",
		newJobWatch(a), newJobShow(a), newJobWhy(a), newJobCancel(a), l)
}

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
have ended with. With -o json it prints {job, tasks} at the end, and the changes meanwhile on standard error.`,
		Example:           "  fleetctl job watch 01JD... --timeout 10m",
		Args:              takes(1, "JOB"),
		ValidArgsFunction: byPlace(a.completeJobs),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runJobWatch(cmd.Context(), a, o)
		},
	}
	c.Flags().DurationVar(&o.timeout, "timeout", 0, "longest time to wait; the job goes on after it (default: to the job's end)")
	return c
}

func runJobWatch(ctx context.Context, a *app, o *jobWatchOptions) error {
	if o.timeout < 0 {
		return exit.Errorf(exit.BadInput, "--timeout %s: want a positive duration", o.timeout)
	}
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

type jobCancelOptions struct {
	id, reason string
}

func newJobCancel(a *app) *cobra.Command {
	o := &jobCancelOptions{}
	c := &cobra.Command{
		Use:   "cancel JOB",
		Short: "Take back what has not started",
		Long: `Takes back every task of a job that has not started. What has started goes on to its verified end, because a machine is
never left half changed.`,
		Example:           "  fleetctl job cancel 01JD... --reason \"wrong site\"",
		Args:              takes(1, "JOB"),
		ValidArgsFunction: byPlace(a.completeJobs),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runJobCancel(cmd.Context(), a, o)
		},
	}
	addReason(c, &o.reason)
	return c
}

func runJobCancel(ctx context.Context, a *app, o *jobCancelOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Jobs.CancelJob(ctx, &fleetv1.CancelJobRequest{Id: o.id, Reason: o.reason})
	if err != nil {
		return err
	}
	j := resp.GetJob()
	return printObject(a, j, j.GetId(), func() {
		if !j.GetCancelled() {
			a.out.Line("job %s was done already; nothing is taken back", j.GetId())
			return
		}
		a.out.Line("job %s is cancelled: what has not started is taken back", j.GetId())
		if n := j.GetCounts().GetRunning(); n > 0 {
			a.out.Line("next: %s started and goes on to the end; watch with `fleetctl job watch %s`", output.Count(n, "target"), j.GetId())
		}
	})
}
