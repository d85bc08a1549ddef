package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newTerminal(a *app) *cobra.Command {
	return newGroup("terminal", "Label, move, re-enrol and decommission terminals",
		"Terminals are machines with an agent. They join the fleet with `fleet-agent enroll` and a token.\n\nList them with `fleetctl get terminals`.",
		"  fleetctl terminal label lyon-01 line=3\n  fleetctl terminal re-enrol lyon-01 --reason \"disk replaced\"",
		newTerminalLabel(a), newTerminalImport(a), newTerminalMove(a), newTerminalRelease(a), newTerminalReEnrol(a), newTerminalDecommission(a))
}

type terminalLabelOptions struct {
	terminal string
	changes  []string
	reason   string
}

func newTerminalLabel(a *app) *cobra.Command {
	o := &terminalLabelOptions{}
	c := &cobra.Command{
		Use:   "label TERMINAL LABEL=VALUE|LABEL- ...",
		Short: "Set and remove labels of a terminal",
		Long:  "Sets labels (line=3) and removes them (line-). A set that names a label twice is refused.",
		Example: `  fleetctl terminal label lyon-01 line=3 hall=packaging
  fleetctl terminal label lyon-01 line-`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: byPlace(a.completeTerminals),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return exit.Errorf(exit.BadInput, "terminal label: want a terminal and at least one label").Then("write `%s`; see `%s --help`", cmd.UseLine(), cmd.CommandPath())
			}
			o.terminal, o.changes = args[0], args[1:]
			return runTerminalLabel(cmd.Context(), a, o)
		},
	}
	addReason(c, &o.reason)
	return c
}

func runTerminalLabel(ctx context.Context, a *app, o *terminalLabelOptions) error {
	req, err := labelRequest(o)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Inventory.LabelTerminal(ctx, req)
	if err != nil {
		return err
	}
	t := resp.GetTerminal()
	return printObject(a, t, t.GetName(), func() {
		a.out.Line("terminal %s has the labels %s", t.GetName(), orNone(pairs(t.GetLabels())))
	})
}

// labelRequest sorts changes into what is set and what is removed.
func labelRequest(o *terminalLabelOptions) (*fleetv1.LabelTerminalRequest, error) {
	req := &fleetv1.LabelTerminalRequest{Terminal: o.terminal, Reason: o.reason}
	var set []string
	for _, change := range o.changes {
		if name, ok := strings.CutSuffix(change, "-"); ok && !strings.Contains(change, "=") {
			req.Remove = append(req.Remove, name)
			continue
		}
		set = append(set, change)
	}
	labels, problems := parsePairs("label", set)
	for _, name := range req.GetRemove() {
		if _, both := labels[name]; both {
			problems = append(problems, "label "+name+": is set and removed")
		}
	}
	if len(problems) > 0 {
		return nil, exit.Errorf(exit.BadInput, "terminal %q: these labels cannot be read", o.terminal).With(problems...).
			Then("write line=3 to set a label, line- to remove it")
	}
	req.Set = labels
	return req, nil
}

type terminalMoveOptions struct {
	terminal string
	site     string
	reason   string
}

func newTerminalMove(a *app) *cobra.Command {
	o := &terminalMoveOptions{}
	c := &cobra.Command{
		Use:   "move TERMINAL SITE",
		Short: "Move a terminal to another site",
		Long: `Moves a terminal to another site; name, labels and history go with it. Refused while it has open tasks. Only an
administrator of both sites may do it.`,
		Example:           "  fleetctl terminal move lyon-01 basel --reason \"line 3 went to Basel\"",
		Args:              takes(2, "TERMINAL", "SITE"),
		ValidArgsFunction: byPlace(a.completeTerminals, a.completeSites),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.terminal, o.site = args[0], strings.ToLower(args[1])
			return runTerminalMove(cmd.Context(), a, o)
		},
	}
	addReason(c, &o.reason)
	return c
}

func runTerminalMove(ctx context.Context, a *app, o *terminalMoveOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Inventory.MoveTerminal(ctx, &fleetv1.MoveTerminalRequest{Terminal: o.terminal, Site: o.site, Reason: o.reason})
	if err != nil {
		return err
	}
	t := resp.GetTerminal()
	return printObject(a, t, t.GetName(), func() { a.out.Line("terminal %s is at site %s now", t.GetName(), t.GetSite()) })
}

type terminalReEnrolOptions struct {
	terminal string
	reason   string
}

func newTerminalReEnrol(a *app) *cobra.Command {
	o := &terminalReEnrolOptions{}
	c := &cobra.Command{
		Use:     "re-enrol TERMINAL",
		Aliases: []string{"re-enroll", "reenrol", "reenroll"},
		Short:   "Let a re-imaged machine take up its old place",
		Long: `Makes a token for one use with which a re-imaged machine becomes the same terminal again: id, name, labels and history
stay. The terminal's old certificate is refused from now on. -o name prints the token alone.`,
		Example:           "  fleetctl terminal re-enrol lyon-01 --reason \"disk replaced\"",
		Args:              takes(1, "TERMINAL"),
		ValidArgsFunction: byPlace(a.completeTerminals),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.terminal = args[0]
			return runTerminalReEnrol(cmd.Context(), a, o)
		},
	}
	addReason(c, &o.reason)
	return c
}

func runTerminalReEnrol(ctx context.Context, a *app, o *terminalReEnrolOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Inventory.ReEnrolTerminal(ctx, &fleetv1.ReEnrolTerminalRequest{Terminal: o.terminal, Reason: o.reason})
	if err != nil {
		return err
	}
	return printObject(a, resp, resp.GetToken(), func() {
		a.out.Line("terminal %s may enrol once more until %s; its old certificate is refused", o.terminal, output.UTC(resp.GetExpires()))
		printToken(a, resp.GetToken())
	})
}

type terminalDecommissionOptions struct {
	terminal string
	reason   string
	yes      bool
}

func newTerminalDecommission(a *app) *cobra.Command {
	o := &terminalDecommissionOptions{}
	c := &cobra.Command{
		Use:   "decommission TERMINAL",
		Short: "End a terminal's service for good",
		Long: `Ends a terminal's service for good: its certificate is refused, its session is cut, and it is never selected again. Its
history stays. This cannot be undone; for a machine that comes back use "fleetctl terminal re-enrol".`,
		Example:           "  fleetctl terminal decommission lyon-01 --reason scrapped",
		Args:              takes(1, "TERMINAL"),
		ValidArgsFunction: byPlace(a.completeTerminals),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.terminal = args[0]
			return runTerminalDecommission(cmd.Context(), a, o)
		},
	}
	addReason(c, &o.reason)
	addYes(c, &o.yes)
	return c
}

func runTerminalDecommission(ctx context.Context, a *app, o *terminalDecommissionOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	found, err := c.Inventory.GetTerminal(ctx, &fleetv1.GetTerminalRequest{Terminal: o.terminal})
	if err != nil {
		return err
	}
	t := found.GetTerminal()
	a.people().Line("terminal %s (%s) at site %s, %s, will be decommissioned for good", t.GetName(), t.GetId(), t.GetSite(), onlineWord(t))
	if err := a.confirm(ctx, o.yes); err != nil {
		return err
	}
	// By id: the name might have gone to another machine since it was shown.
	resp, err := c.Inventory.DecommissionTerminal(ctx, &fleetv1.DecommissionTerminalRequest{Terminal: t.GetId(), Reason: o.reason})
	if err != nil {
		return err
	}
	return printObject(a, resp.GetTerminal(), t.GetName(), func() { a.out.Line("terminal %s is decommissioned", t.GetName()) })
}
