package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newBreaker(a *app) *cobra.Command {
	return newGroup("breaker", "See and close breakers, which keep remedies that do not help from being tried for ever",
		`A breaker opens when an action was tried so often at one fault of one terminal as its policy allows; until it is reset, or its period has
passed, no policy tries it again there. A person may all the same. The terminal's agent keeps it; what is shown is what that told last.`,
		"  fleetctl breaker list --site lyon\n  fleetctl breaker reset lyon-01 --entry nbe-missing --reason \"adapter swapped\"",
		newBreakerList(a), newBreakerReset(a))
}

func newBreakerList(a *app) *cobra.Command {
	r := &fleetv1.ListBreakersRequest{}
	c := &cobra.Command{
		Use:     "list",
		Short:   "List breakers that are open",
		Long:    "Lists the breakers of your sites that are open, with --all closed ones, too.",
		Example: "  fleetctl breaker list\n  fleetctl breaker list --terminal lyon-01 --all",
		Args:    takes(0),
		RunE: listed(a, func(ctx context.Context, c *client.Client) (*fleetv1.ListBreakersResponse, error) {
			return c.Policies.ListBreakers(ctx, r)
		}, func(resp *fleetv1.ListBreakersResponse) listing[*fleetv1.Breaker] {
			return listing[*fleetv1.Breaker]{
				noun: "breakers", rows: resp.GetBreakers(), columns: breakerColumns(), name: (*fleetv1.Breaker).GetTerminalId,
			}
		}),
	}
	f := c.Flags()
	f.StringVar(&r.Site, "site", "", "only at this site")
	f.StringVar(&r.Terminal, "terminal", "", "only of this terminal, by id or name")
	f.BoolVar(&r.All, "all", false, "closed ones, too")
	mustComplete(c, "site", a.completeSites)
	mustComplete(c, "terminal", a.completeTerminals)
	return c
}

func breakerColumns() []output.Column[*fleetv1.Breaker] {
	return []output.Column[*fleetv1.Breaker]{
		{Title: "TERMINAL", Text: (*fleetv1.Breaker).GetTerminalName},
		{Title: "ENTRY", Text: (*fleetv1.Breaker).GetEntry},
		{Title: "ACTION", Text: (*fleetv1.Breaker).GetAction},
		{Title: "STATE", Text: breakerWord, Style: breakerStyle},
		{Title: "ATTEMPTS", Text: func(b *fleetv1.Breaker) string { return strconv.FormatUint(uint64(b.GetAttempts()), 10) }},
		{Title: "UNTIL", Text: func(b *fleetv1.Breaker) string { return output.UTC(b.GetUntil()) }},
		{Title: "REASON", Text: (*fleetv1.Breaker).GetReason},
		{Title: "SUBJECT", Wide: true, Text: (*fleetv1.Breaker).GetSubject},
		{Title: "SITE", Wide: true, Text: (*fleetv1.Breaker).GetSite},
	}
}

// breakerWord is a breaker's state; what people must know is in capitals.
func breakerWord(b *fleetv1.Breaker) string {
	switch {
	case b.GetResetBy() != "":
		return "RESETTING by " + b.GetResetBy()
	case b.GetOpen():
		return "OPEN"
	default:
		return "closed"
	}
}

func breakerStyle(b *fleetv1.Breaker) output.Style {
	switch {
	case b.GetResetBy() != "":
		return output.Doubt
	case b.GetOpen():
		return output.Bad
	default:
		return output.Good
	}
}

func newBreakerReset(a *app) *cobra.Command {
	r := &fleetv1.ResetBreakerRequest{}
	c := &cobra.Command{
		Use:   "reset TERMINAL",
		Short: "Have a terminal's agent close breakers",
		Long: `Has a terminal's agent close the breakers that the flags name, or all of it. When the agent is offline it is told as soon as it is
back. Then policies try again.`,
		Example:           "  fleetctl breaker reset lyon-01 --reason \"adapter swapped\"\n  fleetctl breaker reset lyon-01 --entry nbe-missing --action ble-restart",
		Args:              takes(1, "TERMINAL"),
		ValidArgsFunction: byPlace(a.completeTerminals),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			r.Terminal = args[0]
			resp, err := c.Policies.ResetBreaker(cmd.Context(), r)
			if err != nil {
				return err
			}
			return printList(a, listing[*fleetv1.Breaker]{
				noun: "breakers", document: resp, rows: resp.GetBreakers(), columns: breakerColumns(), name: (*fleetv1.Breaker).GetTerminalId,
			})
		},
	}
	f := c.Flags()
	f.StringVar(&r.Entry, "entry", "", "only of faults of this entry")
	f.StringVar(&r.Subject, "subject", "", "only of faults with this subject")
	f.StringVar(&r.Action, "action", "", "only of this action")
	addReason(c, &r.Reason)
	mustComplete(c, "action", a.completeActions)
	return c
}
