package cli

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newNotify(a *app) *cobra.Command {
	return newGroup("notify", "Say who is told of what happens",
		`Receivers (webhooks, syslog, e-mail, files) are in the server's configuration, with their secrets. A route says what goes to one of them: of
which sites, which kinds of events. What a receiver does not take is tried again, in order, for three days.`,
		"  fleetctl notify receivers\n  fleetctl notify test desk-mail\n  fleetctl notify route lyon-desk --receiver desk-mail --site lyon --event fault.opened",
		newNotifyReceivers(a), newNotifyRoutes(a), newNotifyRoute(a), newNotifyUnroute(a), newNotifyTest(a))
}

func newNotifyReceivers(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "receivers",
		Short:   "List receivers and how they fare",
		Long:    "Lists the receivers of the server's configuration: where they are, what waits for them and what the last try came to.",
		Example: "  fleetctl notify receivers\n  fleetctl notify receivers -o json",
		Args:    takes(0),
		RunE: listed(a, func(ctx context.Context, c *client.Client) (*fleetv1.ListReceiversResponse, error) {
			return c.Notifications.ListReceivers(ctx, &fleetv1.ListReceiversRequest{})
		}, func(resp *fleetv1.ListReceiversResponse) listing[*fleetv1.Receiver] {
			return listing[*fleetv1.Receiver]{
				noun: "receivers", rows: resp.GetReceivers(), columns: receiverColumns(), name: (*fleetv1.Receiver).GetName,
			}
		}),
	}
}

func receiverColumns() []output.Column[*fleetv1.Receiver] {
	return []output.Column[*fleetv1.Receiver]{
		{Title: "RECEIVER", Text: (*fleetv1.Receiver).GetName},
		{Title: "KIND", Text: (*fleetv1.Receiver).GetKind},
		{Title: "ADDRESS", Text: (*fleetv1.Receiver).GetAddress},
		{Title: "WAITING", Text: queueWord},
		{Title: "LAST", Text: func(r *fleetv1.Receiver) string { return orWord(output.UTC(r.GetDelivered()), "-") }},
		{Title: "PROBLEM", Text: func(r *fleetv1.Receiver) string { return orWord(r.GetProblem(), "-") }, Style: receiverStyle},
		{Title: "GIVEN-UP", Wide: true, Text: func(r *fleetv1.Receiver) string { return strconv.FormatUint(r.GetGivenUp(), 10) }},
	}
}

func queueWord(r *fleetv1.Receiver) string {
	if r.GetWaiting() == 0 {
		return "0"
	}
	return strconv.FormatUint(r.GetWaiting(), 10) + ", since " + output.UTC(r.GetOldest())
}

func receiverStyle(r *fleetv1.Receiver) output.Style {
	if r.GetProblem() != "" {
		return output.Bad
	}
	return output.Good
}

func newNotifyRoutes(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "routes",
		Short:   "List what goes to which receiver",
		Long:    "Lists the routes by name. When several of one receiver fit an event, the first by name is the one that is used.",
		Example: "  fleetctl notify routes\n  fleetctl notify routes -o wide",
		Args:    takes(0),
		RunE: listed(a, func(ctx context.Context, c *client.Client) (*fleetv1.ListRoutesResponse, error) {
			return c.Notifications.ListRoutes(ctx, &fleetv1.ListRoutesRequest{})
		}, func(resp *fleetv1.ListRoutesResponse) listing[*fleetv1.Route] {
			return listing[*fleetv1.Route]{
				noun: "routes", rows: resp.GetRoutes(), columns: routeColumns(), name: (*fleetv1.Route).GetName,
			}
		}),
	}
}

func routeColumns() []output.Column[*fleetv1.Route] {
	return []output.Column[*fleetv1.Route]{
		{Title: "ROUTE", Text: (*fleetv1.Route).GetName},
		{Title: "RECEIVER", Text: (*fleetv1.Route).GetReceiver},
		{Title: "SITES", Text: func(r *fleetv1.Route) string { return orWord(list(r.GetSites()), "all") }},
		{Title: "EVENTS", Text: func(r *fleetv1.Route) string { return orWord(list(r.GetEvents()), "all") }},
		{Title: "CHANGED", Wide: true, Text: func(r *fleetv1.Route) string { return output.UTC(r.GetChanged()) + " by " + r.GetChangedBy() }},
		{Title: "TEMPLATE", Wide: true, Text: func(r *fleetv1.Route) string { return orWord(r.GetTemplate(), "-") }},
	}
}

func newNotifyRoute(a *app) *cobra.Command {
	var route fleetv1.Route
	var template, reason string
	cmd := &cobra.Command{
		Use:   "route NAME",
		Short: "Make a route or change it",
		Long: `Has events told to a receiver. Without --site it is for all sites, without --event for all events. A template (Go text/template over
.Summary, .Event, .Site, .Time, .Terminal, .Object, .Entry and .Details) makes the text of a mail, the message of syslog, and "text" of a webhook.`,
		Example: "  fleetctl notify route lyon-desk --receiver desk-mail --site lyon --event fault.opened --event guided.created\n" +
			"  fleetctl notify route all-to-siem --receiver siem --template notice.tmpl --reason CHG-7",
		Args: takes(1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if route.GetReceiver() == "" {
				return exit.Errorf(exit.BadInput, "notify route: no receiver is named").Then("name one with --receiver; `fleetctl notify receivers` lists them")
			}
			asked := &fleetv1.Route{Name: args[0], Receiver: route.GetReceiver(), Sites: route.GetSites(), Events: route.GetEvents()}
			if template != "" {
				text, err := os.ReadFile(template)
				if err != nil {
					return exit.Errorf(exit.BadInput, "--template: %v", err)
				}
				asked.Template = string(text)
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			resp, err := c.Notifications.SetRoute(cmd.Context(), &fleetv1.SetRouteRequest{Route: asked, Reason: reason})
			if err != nil {
				return err
			}
			r := resp.GetRoute()
			return printObject(a, r, r.GetName(), func() {
				a.out.Line("Route %s: %s at %s go to %s.", r.GetName(), orWord(list(r.GetEvents()), "all events"), orWord(list(r.GetSites()), "all sites"), r.GetReceiver())
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&route.Receiver, "receiver", "", "name of the receiver (required)")
	f.StringSliceVar(&route.Sites, "site", nil, "only events of this site; may be repeated")
	f.StringSliceVar(&route.Events, "event", nil, "only events of this kind; may be repeated")
	f.StringVar(&template, "template", "", "file with the template of the text")
	f.StringVar(&reason, "reason", "", "why, for the audit trail")
	return cmd
}

func newNotifyUnroute(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "unroute NAME",
		Short:   "Remove a route",
		Long:    "Removes a route. What waits for its receiver by this route alone is not told any more.",
		Example: "  fleetctl notify unroute lyon-desk --reason CHG-8",
		Args:    takes(1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.Notifications.DeleteRoute(cmd.Context(), &fleetv1.DeleteRouteRequest{Name: args[0], Reason: reason}); err != nil {
				return err
			}
			a.out.Line("Route %s is removed.", args[0])
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit trail")
	return cmd
}

// testPatience is how long a receiver may take to answer a test.
const testPatience = 40 * time.Second

func newNotifyTest(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "test RECEIVER",
		Short:   "Send a receiver a message now",
		Long:    "Sends one message and shows what the receiver answered. Syslog has no answers: there the message was written to an encrypted connection.",
		Example: "  fleetctl notify test desk-mail",
		Args:    takes(1, "RECEIVER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("request-timeout") {
				a.timeout = max(a.timeout, testPatience)
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			resp, err := c.Notifications.TestReceiver(cmd.Context(), &fleetv1.TestReceiverRequest{Receiver: args[0]})
			if err != nil {
				return err
			}
			a.out.Line("Receiver %s: %s.", args[0], resp.GetAnswer())
			return nil
		},
	}
}
