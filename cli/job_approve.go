package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

type jobApproveOptions struct {
	id, digest, reason string
	yes                bool
	validFor           time.Duration
}

func newJobApprove(a *app) *cobra.Command {
	o := &jobApproveOptions{}
	c := &cobra.Command{
		Use:   "approve JOB",
		Short: "Approve a job that another person asked for",
		Long: `Gives your approval to exactly what the digest covers: the action's version, the plugins, the parameters, the terminals, the
rollout, the times and what is lifted. It shows all of that and asks. When any of it changes, the approval counts no more.
You need the role approver on every site of the job, and cannot approve what you asked for yourself.

With --digest, as "fleetctl job show" prints it, it does not ask: whoever gives the digest has looked at the job. Where nobody can be
asked the digest must be given; --yes alone would approve what nobody has seen, and is refused.`,
		Example: `  fleetctl job approve 01JD... --reason "looked at the plan with line 3"
  fleetctl job approve 01JD... --valid-for 2h
  fleetctl job approve 01JD... --digest 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 --yes`,
		Args:              takes(1, "JOB"),
		ValidArgsFunction: byPlace(a.completeActiveJobs),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runJobApprove(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.digest, "digest", "", "approve only what has this `digest`, without asking")
	addReason(c, &o.reason)
	addYes(c, &o.yes)
	spanVar(f, &o.validFor, "valid-for", 0, "how long the approval counts for what has not started, 1m to 30d (default: until the job expires)")
	mustComplete(c, "digest", cobra.NoFileCompletions)
	return c
}

func runJobApprove(ctx context.Context, a *app, o *jobApproveOptions) error {
	if err := o.check(a.interactive()); err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	digest, err := o.looked(ctx, a, c)
	if err != nil {
		return err
	}
	req := &fleetv1.ApproveJobRequest{Id: o.id, Digest: digest, Reason: o.reason}
	if o.validFor != 0 {
		req.ValidFor = durationpb.New(o.validFor)
	}
	resp, err := c.Jobs.ApproveJob(ctx, req)
	if err != nil {
		return err
	}
	j := resp.GetJob()
	return printObject(a, j, j.GetId(), func() { printApproved(a, j) })
}

// check refuses an approval that nobody could have looked at.
func (o *jobApproveOptions) check(interactive bool) error {
	var problems []string
	switch {
	case o.digest != "" && !isDigest(o.digest):
		problems = append(problems, "--digest: want the 64 characters that `fleetctl job show "+o.id+"` prints")
	case o.digest == "" && (o.yes || !interactive):
		problems = append(problems, "--digest is missing: nobody can be asked, and what is approved must have been looked at")
	}
	if o.validFor != 0 && (o.validFor < minExpiry || o.validFor > maxExpiry) {
		problems = append(problems, "--valid-for: want 1m to 30d")
	}
	if len(problems) == 0 {
		return nil
	}
	return exit.Errorf(exit.BadInput, "job %s: is not approved", o.id).With(problems...).
		Then("look at it with `fleetctl job show %s`, then repeat the command with its digest", o.id)
}

func isDigest(text string) bool {
	return len(text) == 64 && strings.Trim(text, "0123456789abcdef") == ""
}

// looked returns the digest that the person gave, or that of the job as it was shown and agreed to.
func (o *jobApproveOptions) looked(ctx context.Context, a *app, c *client.Client) (string, error) {
	if o.digest != "" {
		return o.digest, nil
	}
	b, err := readBoard(ctx, c, o.id, "")
	if err != nil {
		return "", err
	}
	if missing(b.job) == 0 {
		return "", exit.Errorf(exit.BadInput, "job %s: waits for no approval", o.id).Then("see how it is with `fleetctl job show %s`", o.id)
	}
	printJob(a, b.job)
	printTargets(a.people(), b)
	return b.job.GetApproval().GetDigest(), a.confirm(ctx, false)
}

// printTargets shows the terminals of a job site by site.
func printTargets(p *output.Printer, b *board) {
	sites := make(map[string][]string)
	var order []string
	for _, t := range b.ordered() {
		if sites[t.GetSite()] == nil {
			order = append(order, t.GetSite())
		}
		sites[t.GetSite()] = append(sites[t.GetSite()], t.GetTerminalName())
	}
	for _, site := range order {
		p.Line("  %s: %s: %s", site, output.Count(len(sites[site]), "terminal"), someNames(sites[site]))
	}
}

func printApproved(a *app, j *fleetv1.Job) {
	if n := missing(j); n > 0 {
		a.out.Line("job %s is approved by %s; it waits for %d more", j.GetId(), approvers(j.GetApproval()), n)
		return
	}
	a.out.Line("job %s is approved by %s; it starts", j.GetId(), approvers(j.GetApproval()))
	a.out.Line("next: watch it with `fleetctl job watch %s`", j.GetId())
}
