package cli

import (
	"context"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// createFor is how long the creation of a job is tried again when the server cannot be reached.
const createFor = time.Minute

const fixLong = `With the id of a fault ("F-1042") it applies the catalogue's remedy to it: the next step, or the one that --step names; where only a
person can help it makes a guided task. The rest is about actions.

Runs an action on the terminals that are selected: everything given must hold, several values of one flag are
alternatives, and no selection at all is an error. --select says the rest as an expression over site, role, labels, facts and
state (see "fleetctl help expressions"); it is checked here before the server is asked. First it shows how many terminals
where, and asks; then it follows the job and at the end accounts for every target. Success means that the action's own check
held afterwards.

--dry-run changes nothing: each terminal works out what it would do, and the plans are shown. It does not ask. A terminal that
made a plan is PLANNED (in the API its status is SUCCEEDED).

A job begins with one terminal, then does the rest, a tenth of it at once (five or fewer: all). When 20% of what was reached up
to now have failed, or 3 in a row, it pauses: what runs goes on, nothing more starts. --canary, --waves, --max-concurrent,
--max-errors, --max-consecutive, --soak, --floor and --on-limit change that; shares are rounded up. Where the action, a site or
--approvals asks for it, the job waits until others have approved it with "fleetctl job approve".

--timeout bounds only the wait; the job goes on. Ctrl-C ends the wait, too. Without --timeout the wait lasts to the job's end: a
terminal that is offline is waited for, in a dry run too, until it connects or the job expires (--expires), and a server that
went away until it answers again. A job that is paused or not approved is waited for in the same way, and it is said once. What has
not started when the job expires is EXPIRED.

With -o json or yaml the end is a document {job, tasks}, the shape of a WatchJobResponse (with --no-wait only {job}); -o name
prints the job's id. Everything else then goes to standard error.

Exit codes:
`

func newFix(a *app) *cobra.Command {
	o := &fixOptions{}
	c := &cobra.Command{
		Use:   "fix ACTION|FAULT",
		Short: "Run a remedy on terminals, and prove that it helped",
		Long:  fixLong + exit.Table(),
		Example: `  fleetctl fix ble-restart --site lyon --dry-run
  fleetctl fix ble-restart --site lyon --reason INC-4711
  fleetctl fix ble-restart --terminal lyon-01,lyon-02 --param force_kill=true --yes
  fleetctl fix ble-restart --select 'site in (lyon, turin) and online and endpoint=stopped'
  fleetctl fix nymi-agent-restart --role user-terminal -l line=3 --max-concurrent 2 --yes --timeout 10m
  fleetctl fix ble-restart --site lyon --waves 1,5%,25%,100% --soak 10m --floor zone=3 --max-errors 5%
  fleetctl fix ble-restart --site lyon --not-before "2026-12-01 22:00" --expires 14d --approvals 1 --no-wait
  fleetctl fix ble-restart --from-job 01JD... --failed --limit 10%
  fleetctl fix F-1042 --dry-run
  fleetctl fix F-1042 --step 2 --param cert=lyon-root-2026 --reason INC-4711`,
		Args:              takes(1, "ACTION|FAULT"),
		ValidArgsFunction: byPlace(a.completeRemedies),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.action = args[0]
			if isFault(o.action) {
				return runFixFault(cmd.Context(), a, o)
			}
			if o.step != 0 {
				return exit.Errorf(exit.BadInput, "--step is for faults: %s is an action", o.action).Then("name a fault (F-…), or leave --step out")
			}
			return runFix(cmd.Context(), a, o)
		},
	}
	o.addTo(c, a)
	return c
}

func runFix(ctx context.Context, a *app, o *fixOptions) error {
	spec, err := o.spec(a.now())
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	req, err := prepareJob(ctx, a, c, spec, o.yes || o.dryRun)
	if err != nil && ctx.Err() != nil {
		return exit.Errorf(exit.BadInput, "interrupted; nothing was created")
	}
	if err != nil {
		return err
	}
	if err := o.renew(spec, a.now()); err != nil {
		return err
	}
	job, err := createJob(ctx, a, func(ctx context.Context, lost func(error)) (*fleetv1.Job, error) {
		return c.CreateJob(ctx, req, lost)
	})
	if err != nil {
		return err
	}
	return afterCreation(ctx, a, c, job, o.noWait, o.timeout)
}

// prepareJob checks what is asked, shows what it would reach, and asks the person. Nothing is created yet.
func prepareJob(ctx context.Context, a *app, c *client.Client, spec *fleetv1.JobSpec, yes bool) (*fleetv1.CreateJobRequest, error) {
	offered, err := action(ctx, c, spec.GetAction())
	if err != nil {
		return nil, err
	}
	if err := checkParams(offered, spec.GetParams()); err != nil {
		return nil, err
	}
	preview, err := c.Jobs.PreviewJob(ctx, &fleetv1.PreviewJobRequest{Spec: spec})
	if err != nil {
		return nil, err
	}
	printPreview(a.people(), spec, offered, preview)
	if err := a.confirm(ctx, yes); err != nil {
		return nil, err
	}
	return &fleetv1.CreateJobRequest{Spec: spec, RequestId: ulid.Make().String(), TargetsDigest: preview.GetTargetsDigest()}, nil
}

// creation asks the server for a new job and calls lost when it has to ask again.
type creation func(ctx context.Context, lost func(error)) (*fleetv1.Job, error)

// createJob creates a job, over broken connections. When nobody can say whether it was created, the error says so.
func createJob(ctx context.Context, a *app, create creation) (*fleetv1.Job, error) {
	limited, cancel := bounded(ctx, createFor)
	defer cancel()
	job, err := create(limited, func(err error) {
		a.info.Line("connection to the server lost (%s); trying for at most %s", err, output.Duration(createFor))
	})
	switch {
	case err == nil:
		return job, nil
	case exit.Is(err, exit.Unreachable):
		return nil, exit.Errorf(exit.Unreachable, "the job may or may not have been created: %v", err).
			Then("look with `fleetctl get jobs --active` before you ask again")
	case exit.From(err).Reason == "TARGETS_CHANGED":
		return nil, exit.From(err).Then("the terminals changed while you looked; nothing was created; repeat the command")
	default:
		return nil, err
	}
}

// afterCreation ends at once or follows the job.
func afterCreation(ctx context.Context, a *app, c *client.Client, job *fleetv1.Job, noWait bool, timeout time.Duration) error {
	if noWait {
		return printAccepted(a, job)
	}
	a.people().Line("job %s", job.GetId())
	return a.follow(ctx, c, job, timeout)
}

func printAccepted(a *app, job *fleetv1.Job) error {
	return printObject(a, &fleetv1.WatchJobResponse{Job: job}, job.GetId(), func() {
		a.out.Line("job %s is accepted: %s", job.GetId(), output.Count(job.GetCounts().GetTotal(), "target"))
		if text := awaitedWord(job); text != "" {
			a.out.Line("it %s", text)
			a.out.Line("what is approved has the digest %s", job.GetApproval().GetDigest())
		}
		a.out.Line("next: watch it with `fleetctl job watch %s`", job.GetId())
	})
}
