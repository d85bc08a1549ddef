package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

type jobRejectOptions struct {
	id, reason string
}

func newJobReject(a *app) *cobra.Command {
	o := &jobRejectOptions{}
	c := &cobra.Command{
		Use:   "reject JOB",
		Short: "Refuse a job that waits for approval",
		Long: `Ends a job that waits for approval: nothing of it starts. The reason is kept with the job, for whoever asked for it. You need
the role approver on every site of the job.`,
		Example:           "  fleetctl job reject 01JD... --reason \"not during the audit\"",
		Args:              takes(1, "JOB"),
		ValidArgsFunction: byPlace(a.completeActiveJobs),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runJobReject(cmd.Context(), a, o)
		},
	}
	addReason(c, &o.reason)
	return c
}

func runJobReject(ctx context.Context, a *app, o *jobRejectOptions) error {
	if o.reason == "" {
		return exit.Errorf(exit.BadInput, "job %s: is not rejected: --reason is missing", o.id).
			Then("tell the person who asked for it why, with --reason")
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Jobs.RejectJob(ctx, &fleetv1.RejectJobRequest{Id: o.id, Reason: o.reason})
	if err != nil {
		return err
	}
	j := resp.GetJob()
	return printObject(a, j, j.GetId(), func() {
		a.out.Line("job %s is rejected; nothing of it starts", j.GetId())
	})
}
