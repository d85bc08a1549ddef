package cli

import (
	"context"

	"github.com/spf13/cobra"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

type jobResumeOptions struct {
	id, reason string
}

func newJobResume(a *app) *cobra.Command {
	o := &jobResumeOptions{}
	c := &cobra.Command{
		Use:   "resume JOB",
		Short: "Let a paused job go on",
		Long: `Lets a paused job go on, whoever paused it. Failures up to now no longer count against its limits, so look at them first:
"fleetctl job show".`,
		Example:           "  fleetctl job resume 01JD... --reason \"both terminals had no adapter\"",
		Args:              takes(1, "JOB"),
		ValidArgsFunction: byPlace(a.completeActiveJobs),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runJobResume(cmd.Context(), a, o)
		},
	}
	addReason(c, &o.reason)
	return c
}

func runJobResume(ctx context.Context, a *app, o *jobResumeOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Jobs.ResumeJob(ctx, &fleetv1.ResumeJobRequest{Id: o.id, Reason: o.reason})
	if err != nil {
		return err
	}
	j := resp.GetJob()
	return printObject(a, j, j.GetId(), func() {
		a.out.Line("job %s goes on; %s", j.GetId(), waitingWord(j.GetCounts().GetRunning(), j.GetCounts().GetWaiting()))
		a.out.Line("next: watch it with `fleetctl job watch %s`", j.GetId())
	})
}
