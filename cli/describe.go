package cli

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/health"
)

func newDescribe(a *app) *cobra.Command {
	return newGroup("describe", "Show all that is known of one object",
		"Shows one object in full. With -o json or yaml it prints the same message as `fleetctl get`.",
		"  fleetctl describe terminal lyon-01\n  fleetctl describe action ble-restart",
		newDescribeOne(a, "site", "NAME", a.completeSites, describeSiteNamed),
		newDescribeOne(a, "terminal", "TERMINAL", a.completeTerminals, describeTerminalNamed),
		newDescribeOne(a, "band", "SERIAL", a.completeBands, describeBandNamed),
		newDescribeOne(a, "action", "ACTION", a.completeActions, describeActionNamed),
		newDescribeOne(a, "operator", "NAME", a.completeOperators, describeOperatorNamed),
		newDescribeOne(a, "job", "JOB", a.completeJobs, func(ctx context.Context, a *app, c *client.Client, id string) error {
			return showJob(ctx, a, c, id, "")
		}),
	)
}

// describer reads one object and prints it.
type describer func(ctx context.Context, a *app, c *client.Client, name string) error

func newDescribeOne(a *app, noun, argument string, complete completer, describe describer) *cobra.Command {
	return &cobra.Command{
		Use:               noun + " " + argument,
		Aliases:           []string{noun + "s"},
		Short:             "Show all that is known of one " + noun,
		Long:              "Shows one " + noun + " in full.",
		Example:           "  fleetctl describe " + noun + " " + argument,
		Args:              takes(1, argument),
		ValidArgsFunction: byPlace(complete),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			return describe(cmd.Context(), a, c, args[0])
		},
	}
}

func describeSiteNamed(ctx context.Context, a *app, c *client.Client, name string) error {
	resp, err := c.Inventory.GetSite(ctx, &fleetv1.GetSiteRequest{Name: name})
	if err != nil {
		return err
	}
	s := resp.GetSite()
	return printObject(a, s, s.GetName(), func() { describeSite(a, s) })
}

func describeBandNamed(ctx context.Context, a *app, c *client.Client, serial string) error {
	resp, err := c.Inventory.GetBand(ctx, &fleetv1.GetBandRequest{Serial: serial})
	if err != nil {
		return err
	}
	b := resp.GetBand()
	return printObject(a, b, b.GetSerial(), func() { describeBand(a, b) })
}

func describeOperatorNamed(ctx context.Context, a *app, c *client.Client, name string) error {
	resp, err := c.Operators(ctx)
	if err != nil {
		return err
	}
	op, err := operatorNamed(resp, name)
	if err != nil {
		return err
	}
	return printObject(a, op, op.GetName(), func() { a.out.Fields(0, operatorFields(op)...) })
}

func describeTerminalNamed(ctx context.Context, a *app, c *client.Client, name string) error {
	resp, err := c.Inventory.GetTerminal(ctx, &fleetv1.GetTerminalRequest{Terminal: name})
	if err != nil {
		return err
	}
	t := resp.GetTerminal()
	return printObject(a, t, t.GetName(), func() { describeTerminal(a, t) })
}

func describeTerminal(a *app, t *fleetv1.Terminal) {
	f := t.GetFacts()
	a.out.Fields(0,
		output.Text("Name", t.GetName()),
		output.Text("Id", t.GetId()),
		output.Text("Site", t.GetSite()),
		output.Text("Role", word(t.GetRole())),
		output.Field{Name: "State", Value: a.out.Paint(onlineStyle(t), onlineWord(t))},
		output.Field{Name: "Health", Value: a.out.Paint(healthStyle(t), cmp.Or(healthWord(t), "not told yet"))},
		output.Text("Last seen", output.UTC(t.GetLastSeen())),
		output.Text("Enrolled", output.UTC(t.GetEnrolled())),
		output.Text("Certificate until", output.UTC(t.GetCertificateExpires())),
		output.Text("Labels", pairs(t.GetLabels())),
		output.Text("Host name", f.GetHostname()),
		output.Text("Operating system", osWord(t)+" "+f.GetArchitecture()),
		output.Text("Addresses", list(f.GetAddresses())),
		output.Text("Agent", f.GetAgentVersion()),
	)
	if q := quarantineWord(t); q != "" {
		a.out.Line("Quarantine: %s", q)
	}
	a.out.Line("Services:%s", notKnown(len(f.GetServices())))
	for _, s := range f.GetServices() {
		a.out.Line("  %s: %s", s.GetService(), serviceWord(s))
	}
	a.out.Line("Bluetooth adapter: %s", orNone(health.Adapter(f.GetAdapter())))
	for _, d := range f.GetAdapter().GetDevices() {
		a.out.Line("  %s  %s  port %s  problem code %d", d.GetInstance(), d.GetName(), orNone(d.GetPort()), d.GetProblemCode())
	}
	a.out.Line("Plugins:")
	for _, p := range t.GetPlugins() {
		a.out.Line("  %s %s (sha256 %s): %s", p.GetName(), p.GetVersion(), short(p.GetSha256()), list(p.GetActions()))
	}
}

// notKnown stands in for a list that the agent could not make; it names even services that are not installed.
func notKnown(n int) string {
	if n == 0 {
		return " not known; the agent's log says why it cannot ask for them"
	}
	return ""
}

// short cuts a hash to what a person compares.
func short(hash string) string { return hash[:min(len(hash), 12)] }
