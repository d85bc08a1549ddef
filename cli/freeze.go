package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newFreeze(a *app) *cobra.Command {
	var site, reason string
	c := &cobra.Command{
		Use:   "freeze",
		Short: "Stop all that is started without a person, at a site or everywhere",
		Long: `Stops all that is started without a person until "fleetctl unfreeze": policies, agents by themselves, and schedules that change
something. Jobs of people go on, and what runs goes on to its end. An agent that is offline hears of it when it is back.`,
		Example: "  fleetctl freeze --site lyon --reason \"validation run\"\n  fleetctl freeze --reason \"something is wrong with the last release\"",
		Args:    takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := wantReason(reason); err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			resp, err := c.Policies.Freeze(cmd.Context(), &fleetv1.FreezeRequest{Site: site, Reason: reason})
			if err != nil {
				return err
			}
			f := resp.GetFreeze()
			return printObject(a, f, orWord(f.GetSite(), "*"), func() {
				a.out.Line("frozen %s since %s by %s: %s", whereFrozen(f.GetSite()), output.UTC(f.GetSince()), f.GetBy(), f.GetReason())
			})
		},
	}
	addFrozenSite(a, c, &site)
	addReason(c, &reason)
	return c
}

func newUnfreeze(a *app) *cobra.Command {
	var site, reason string
	c := &cobra.Command{
		Use:   "unfreeze",
		Short: "Lift a freeze of a site, or the one of everywhere",
		Long: `Lifts a freeze: what waits goes on, and every open fault is decided on anew. Without --site the freeze of everywhere is lifted, and
those of single sites stay.`,
		Example: "  fleetctl unfreeze --site lyon --reason \"validation is over\"",
		Args:    takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := wantReason(reason); err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.Policies.Unfreeze(cmd.Context(), &fleetv1.UnfreezeRequest{Site: site, Reason: reason}); err != nil {
				return err
			}
			a.out.Line("not frozen %s any more", whereFrozen(site))
			return nil
		},
	}
	addFrozenSite(a, c, &site)
	addReason(c, &reason)
	return c
}

func addFrozenSite(a *app, c *cobra.Command, site *string) {
	c.Flags().StringVar(site, "site", "", "the `site`; without it everywhere is meant")
	mustComplete(c, "site", a.completeSites)
}

func wantReason(reason string) error {
	if reason != "" {
		return nil
	}
	return exit.Errorf(exit.BadInput, "no reason is given").Then("say why, with --reason")
}

func whereFrozen(site string) string {
	if site == "" {
		return "everywhere"
	}
	return "at " + site
}

func newGetFreezes(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "freezes",
		Aliases: []string{"freeze"},
		Short:   "List where nothing starts without a person",
		Long:    "Lists what is frozen, by whom and why. \"fleetctl freeze\" and \"fleetctl unfreeze\" change it.",
		Example: "  fleetctl get freezes",
		Args:    takes(0),
		RunE: listed(a, func(ctx context.Context, c *client.Client) (*fleetv1.ListFreezesResponse, error) {
			return c.Policies.ListFreezes(ctx, &fleetv1.ListFreezesRequest{})
		}, func(resp *fleetv1.ListFreezesResponse) listing[*fleetv1.FreezeState] {
			return listing[*fleetv1.FreezeState]{
				noun: "freezes", rows: resp.GetFreezes(), columns: freezeColumns(),
				name: func(f *fleetv1.FreezeState) string { return orWord(f.GetSite(), "*") },
			}
		}),
	}
}

func freezeColumns() []output.Column[*fleetv1.FreezeState] {
	return []output.Column[*fleetv1.FreezeState]{
		{Title: "SITE", Text: func(f *fleetv1.FreezeState) string { return orWord(f.GetSite(), "everywhere") }, Style: func(*fleetv1.FreezeState) output.Style { return output.Doubt }},
		{Title: "SINCE", Text: func(f *fleetv1.FreezeState) string { return output.UTC(f.GetSince()) }},
		{Title: "BY", Text: (*fleetv1.FreezeState).GetBy},
		{Title: "REASON", Text: (*fleetv1.FreezeState).GetReason},
	}
}
