package cli

import (
	"context"
	"regexp"
	"slices"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

var faultPattern = regexp.MustCompile(`^[Ff]-[0-9]+$`)

// isFault says whether what is to be fixed is a fault rather than an action.
func isFault(name string) bool { return faultPattern.MatchString(name) }

// runFixFault applies the catalogue's remedy to a fault.
func runFixFault(ctx context.Context, a *app, o *fixOptions) error {
	problems := o.foreignFlags()
	given, wrong := parsePairs("--param", o.params)
	if problems = append(problems, wrong...); len(problems) > 0 {
		return exit.Errorf(exit.BadInput, "fault %q: the request is refused; nothing was created", o.action).With(problems...).Then("see `fleetctl fix --help`")
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	got, err := c.Faults.GetFault(ctx, &fleetv1.GetFaultRequest{Id: o.action})
	if err != nil {
		return err
	}
	printFaultToFix(a.people(), got.GetFault())
	if err := a.confirm(ctx, o.yes || o.dryRun); err != nil {
		return err
	}
	fixed, err := c.Faults.FixFault(ctx, &fleetv1.FixFaultRequest{
		Id: got.GetFault().GetId(), Reason: o.reason, Params: given, DryRun: o.dryRun, Step: o.step, RequestId: ulid.Make().String(),
	})
	if err != nil {
		return err
	}
	if id := fixed.GetGuidedTask(); id != "" {
		return printObject(a, fixed, id, func() {
			a.out.Line("guided task %s is made: only a person can help", id)
			a.out.Line("next: `fleetctl guided show %s`", id)
		})
	}
	return afterCreation(ctx, a, c, fixed.GetJob(), o.noWait, o.timeout)
}

// foreignFlags are the flags that were given and say nothing about a fault: its terminal and its remedy are known.
func (o *fixOptions) foreignFlags() (problems []string) {
	own := []string{"param", "dry-run", "reason", "yes", "no-wait", "timeout", "step", "config", "output", "request-timeout"}
	o.flags.Visit(func(f *pflag.Flag) {
		if !slices.Contains(own, f.Name) {
			problems = append(problems, "--"+f.Name+": a fault has its terminal and its remedy; this is for actions")
		}
	})
	if o.noWait && o.timeout != 0 {
		problems = append(problems, "--no-wait and --timeout exclude each other")
	}
	return problems
}

func printFaultToFix(out *output.Printer, f *fleetv1.Fault) {
	out.Line("fault %s: %s (%s) on %s at %s", f.GetId(), f.GetTitle(), f.GetEntry(), f.GetTerminalName(), f.GetSite())
	if f.GetDecision() != "" {
		out.Line("the policies say: %s", f.GetDecision())
	}
}

// completeRemedies offers actions, and faults when their id was begun.
func (a *app) completeRemedies(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(typed) > 1 && (typed[0] == 'F' || typed[0] == 'f') && typed[1] == '-' {
		return a.completeFaults(cmd, args, typed)
	}
	return a.completeActions(cmd, args, typed)
}
