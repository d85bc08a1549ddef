package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

type terminalReleaseOptions struct {
	terminal string
	reason   string
}

func newTerminalRelease(a *app) *cobra.Command {
	o := &terminalReleaseOptions{}
	c := &cobra.Command{
		Use:   "release TERMINAL",
		Short: "End a terminal's quarantine",
		Long: `Ends a terminal's quarantine: what waits for it may start. A terminal is in quarantine when its agent has lost its journal, or came
back with an older copy of it, as after a machine's snapshot was restored: then it may have done what it does not know. Look at the
terminal first, and say in the reason what was found. "fleetctl get terminals -s state=quarantined" lists them.`,
		Example:           "  fleetctl terminal release lyon-01 --reason \"snapshot of Monday restored, endpoint runs\"",
		Args:              takes(1, "TERMINAL"),
		ValidArgsFunction: byPlace(a.completeTerminals),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.terminal = args[0]
			return runTerminalRelease(cmd.Context(), a, o)
		},
	}
	addReason(c, &o.reason)
	return c
}

func runTerminalRelease(ctx context.Context, a *app, o *terminalReleaseOptions) error {
	if o.reason == "" {
		return exit.Errorf(exit.BadInput, "terminal %q: a release needs a reason", o.terminal).Then("say with --reason what was found there")
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Inventory.ReleaseTerminal(ctx, &fleetv1.ReleaseTerminalRequest{Terminal: o.terminal, Reason: o.reason})
	if err != nil {
		return err
	}
	t := resp.GetTerminal()
	return printObject(a, t, t.GetName(), func() { a.out.Line("terminal %s is not in quarantine; what waits for it may start", t.GetName()) })
}

// quarantineWord says why nothing is started on a terminal, and since when; empty when it is not in quarantine.
func quarantineWord(t *fleetv1.Terminal) string {
	q := t.GetQuarantine()
	if q == nil {
		return ""
	}
	return "since " + output.UTC(q.GetTime()) + ": " + q.GetReason() + "; look at it, then `fleetctl terminal release " + t.GetName() + "`"
}
