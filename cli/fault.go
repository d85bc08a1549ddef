package cli

import (
	"context"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newFault(a *app) *cobra.Command {
	return newGroup("fault", "Look at one fault, and say what people know of it",
		`A fault is something wrong with a terminal: an agent sees it, a job has found it, or a person has reported it. It is resolved when its
agent sees it no more; what remedied it stands there then. "fleetctl faults" lists them.`,
		"  fleetctl fault show F-1042\n  fleetctl fault ack F-1042 --note \"on my way\"\n  fleetctl fault report lyon-01 band-dead",
		newFaultShow(a), newFaultAck(a), newFaultResolve(a), newFaultAssign(a), newFaultReport(a))
}

// faultVerb makes a command that does something to one fault.
func faultVerb(a *app, c *cobra.Command, run func(ctx context.Context, c *client.Client, id string) (*fleetv1.Fault, error)) *cobra.Command {
	c.Args = takes(1, "FAULT")
	c.ValidArgsFunction = byPlace(a.completeFaults)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		server, err := a.connect()
		if err != nil {
			return err
		}
		defer server.Close()
		f, err := run(cmd.Context(), server, args[0])
		if err != nil {
			return err
		}
		return printFault(a, f)
	}
	return c
}

func printFault(a *app, f *fleetv1.Fault) error {
	return printObject(a, f, f.GetId(), func() { a.out.Line("%s", faultLine(f)) })
}

func newFaultAck(a *app) *cobra.Command {
	note := ""
	c := faultVerb(a, &cobra.Command{
		Use:     "ack FAULT",
		Short:   "Say that you know of a fault",
		Long:    "Says that somebody knows of a fault: nobody is told of it again until it changes. What a policy does about it goes on.",
		Example: "  fleetctl fault ack F-1042 --note \"on my way\"",
	}, func(ctx context.Context, c *client.Client, id string) (*fleetv1.Fault, error) {
		resp, err := c.Faults.AckFault(ctx, &fleetv1.AckFaultRequest{Id: id, Note: note})
		return resp.GetFault(), err
	})
	c.Flags().StringVar(&note, "note", "", "what others should know, for the history")
	return c
}

func newFaultResolve(a *app) *cobra.Command {
	reason := ""
	c := faultVerb(a, &cobra.Command{
		Use:   "resolve FAULT --reason TEXT",
		Short: "Say that a fault is gone",
		Long: `Says that a fault is gone, in your name. One that an agent sees all the time is resolved by itself when it is gone, and comes back when
the agent goes on seeing it.`,
		Example: "  fleetctl fault resolve F-1042 --reason \"cable was out\"",
	}, func(ctx context.Context, c *client.Client, id string) (*fleetv1.Fault, error) {
		resp, err := c.Faults.ResolveFault(ctx, &fleetv1.ResolveFaultRequest{Id: id, Reason: reason})
		return resp.GetFault(), err
	})
	addReason(c, &reason)
	return c
}

func newFaultAssign(a *app) *cobra.Command {
	to, note := "", ""
	c := faultVerb(a, &cobra.Command{
		Use:     "assign FAULT --to WHO",
		Short:   "Give a fault to a person or a role",
		Long:    "Gives a fault to an operator or a role; without --to nobody has it any more.",
		Example: "  fleetctl fault assign F-1042 --to site-desk\n  fleetctl fault assign F-1042",
	}, func(ctx context.Context, c *client.Client, id string) (*fleetv1.Fault, error) {
		resp, err := c.Faults.AssignFault(ctx, &fleetv1.AssignFaultRequest{Id: id, Assignee: to, Note: note})
		return resp.GetFault(), err
	})
	c.Flags().StringVar(&to, "to", "", "operator or `role`")
	c.Flags().StringVar(&note, "note", "", "what they should know, for the history")
	return c
}

type faultReportOptions struct{ terminal, entry, subject, note string }

func newFaultReport(a *app) *cobra.Command {
	o := &faultReportOptions{}
	c := &cobra.Command{
		Use:               "report TERMINAL ENTRY",
		Short:             "Report a fault that you have seen",
		Long:              `Opens a fault that you have seen on a terminal, or counts it again when it is open. ENTRY names it in the catalogue.`,
		Example:           "  fleetctl fault report lyon-01 band-dead --note \"does not light up\"",
		Args:              takes(2, "TERMINAL", "ENTRY"),
		ValidArgsFunction: byPlace(a.completeTerminals),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.terminal, o.entry = args[0], args[1]
			return runFaultReport(cmd.Context(), a, o)
		},
	}
	c.Flags().StringVar(&o.subject, "subject", "", "which of several it is about (a host, a band)")
	c.Flags().StringVar(&o.note, "note", "", "what you have seen")
	return c
}

func runFaultReport(ctx context.Context, a *app, o *faultReportOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Faults.ReportFault(ctx, &fleetv1.ReportFaultRequest{
		Terminal: o.terminal, Entry: o.entry, Subject: o.subject, Note: o.note, RequestId: ulid.Make().String(),
	})
	if err != nil {
		return err
	}
	return printFault(a, resp.GetFault())
}
