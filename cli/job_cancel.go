package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

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
		ValidArgsFunction: byPlace(a.completeActiveJobs),
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
			a.out.Line("next: %s may have started, and what has goes on to its end; watch it with `fleetctl job watch %s`", output.Count(n, "target"), j.GetId())
		}
	})
}
