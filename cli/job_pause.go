package cli

import (
	"context"

	"github.com/spf13/cobra"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

type jobPauseOptions struct {
	id, reason string
}

func newJobPause(a *app) *cobra.Command {
	o := &jobPauseOptions{}
	c := &cobra.Command{
		Use:   "pause JOB",
		Short: "Let nothing more of a job start, for now",
		Long: `Lets nothing more of a job start, not even what was sent to its terminal already. What runs goes on to its verified end.
The time until the job expires goes on, too: what has not started by then is EXPIRED. "fleetctl job resume" lets it go on.`,
		Example:           "  fleetctl job pause 01JD... --reason \"line 3 is in production\"",
		Args:              takes(1, "JOB"),
		ValidArgsFunction: byPlace(a.completeActiveJobs),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runJobPause(cmd.Context(), a, o)
		},
	}
	addReason(c, &o.reason)
	return c
}

func runJobPause(ctx context.Context, a *app, o *jobPauseOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Jobs.PauseJob(ctx, &fleetv1.PauseJobRequest{Id: o.id, Reason: o.reason})
	if err != nil {
		return err
	}
	j := resp.GetJob()
	return printObject(a, j, j.GetId(), func() {
		a.out.Line("job %s is %s; %s", j.GetId(), pausedBy(j.GetPause()), waitingWord(j.GetCounts().GetRunning(), j.GetCounts().GetWaiting()))
		a.out.Line("next: `fleetctl job resume %s` goes on, `fleetctl job cancel %s` ends it", j.GetId(), j.GetId())
	})
}
