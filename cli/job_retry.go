package cli

import (
	"context"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

type jobRetryOptions struct {
	id, reason  string
	yes, noWait bool
	timeout     time.Duration
}

func newJobRetry(a *app) *cobra.Command {
	o := &jobRetryOptions{}
	c := &cobra.Command{
		Use:   "retry JOB",
		Short: "Try a job again where it did not succeed",
		Long: `Makes a new job from one that is done, over those of its terminals on which it did not succeed, with everything else as it
was asked for then; approvals are asked for anew. It shows how many terminals that are, asks, and follows the new job as "fleetctl
fix" does. To change parameters or rollout, write "fleetctl fix ACTION --from-job JOB --failed" with them.`,
		Example:           "  fleetctl job retry 01JD... --reason INC-4711\n  fleetctl job retry 01JD... --yes --timeout 30m",
		Args:              takes(1, "JOB"),
		ValidArgsFunction: byPlace(a.completeJobs),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runJobRetry(cmd.Context(), a, o)
		},
	}
	addReason(c, &o.reason)
	addYes(c, &o.yes)
	c.Flags().BoolVar(&o.noWait, "no-wait", false, "end as soon as the server has accepted the job")
	spanVar(c.Flags(), &o.timeout, "timeout", 0, "longest time to wait; the job goes on after it (default: to the job's end)")
	return c
}

func runJobRetry(ctx context.Context, a *app, o *jobRetryOptions) error {
	if o.noWait && o.timeout != 0 {
		return exit.Errorf(exit.BadInput, "--no-wait and --timeout exclude each other").Then("give one of them")
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Jobs.GetJob(ctx, &fleetv1.GetJobRequest{Id: o.id})
	if err != nil {
		return err
	}
	if err := retryable(resp.GetJob()); err != nil {
		return err
	}
	printRetry(a, resp.GetJob())
	if err := a.confirm(ctx, o.yes); err != nil {
		return err
	}
	req := &fleetv1.RetryJobRequest{Id: o.id, Reason: o.reason, RequestId: ulid.Make().String()}
	again, err := createJob(ctx, a, func(ctx context.Context, lost func(error)) (*fleetv1.Job, error) {
		return c.RetryJob(ctx, req, lost)
	})
	if err != nil {
		return err
	}
	return afterCreation(ctx, a, c, again, o.noWait, o.timeout)
}

// retryable refuses what the server would refuse, before the person is asked.
func retryable(j *fleetv1.Job) error {
	switch {
	case j.GetState() != fleetv1.JobState_JOB_STATE_DONE:
		return exit.Errorf(exit.BadInput, "job %s: is not done; nothing was created", j.GetId()).
			Then("wait for its end with `fleetctl job watch %s`, or end it with `fleetctl job cancel %s`", j.GetId(), j.GetId())
	case unsuccessful(j.GetCounts()) == 0:
		return exit.Errorf(exit.BadInput, "job %s: succeeded on every target; nothing was created", j.GetId()).
			Then("to run it once more, ask for it with `fleetctl fix %s --from-job %s`", j.GetAction(), j.GetId())
	default:
		return nil
	}
}

// printRetry shows what is tried again.
func printRetry(a *app, j *fleetv1.Job) {
	p := a.people()
	p.Line("%s on %s of job %s on which it did not succeed (%s):", p.Paint(output.Bold, actionOf(j)),
		output.Count(unsuccessful(j.GetCounts()), "terminal"), j.GetId(), countsWord(j))
	p.Line("  at %s", list(j.GetSites()))
	if given := pairs(j.GetParams()); given != "" {
		p.Line("  with %s", strings.ReplaceAll(given, ",", ", "))
	}
}
