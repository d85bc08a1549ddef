package cli

import (
	"context"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newSite(a *app) *cobra.Command {
	return newGroup("site", "Add sites, show and change their settings",
		"Sites are plants or buildings: the unit of scope, of enrolment, of maintenance windows and of the audit record.\n\nList them with `fleetctl get sites`.",
		"  fleetctl site add lyon\n  fleetctl site set lyon --time-zone Europe/Paris --window \"mon-fri 22:00-04:00\"",
		newSiteAdd(a), newSiteShow(a), newSiteSet(a), newSiteImport(a))
}

type siteAddOptions struct {
	name        string
	description string
}

func newSiteAdd(a *app) *cobra.Command {
	o := &siteAddOptions{}
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a site",
		Long: `Adds a site. A name is lower case letters, digits and dashes, at most 63 characters; it is matched in any case, so
LYON and lyon are one site. Only an administrator of all sites may do it.`,
		Example: `  fleetctl site add lyon --description "Lyon, packaging hall"`,
		Args:    takes(1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return runSiteAdd(cmd.Context(), a, o)
		},
	}
	c.Flags().StringVar(&o.description, "description", "", "what people call it")
	return c
}

func runSiteAdd(ctx context.Context, a *app, o *siteAddOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Inventory.CreateSite(ctx, &fleetv1.CreateSiteRequest{
		Name: o.name, Description: o.description, RequestId: ulid.Make().String(),
	})
	if err != nil {
		return err
	}
	site := resp.GetSite()
	return printObject(a, site, site.GetName(), func() {
		a.out.Line("site %s added", site.GetName())
		a.out.Line("next: let its terminals in with `fleetctl token create --site %s --role user-terminal`", site.GetName())
	})
}

func siteColumns() []output.Column[*fleetv1.Site] {
	return []output.Column[*fleetv1.Site]{
		{Title: "NAME", Text: (*fleetv1.Site).GetName},
		{Title: "TERMINALS", Text: func(s *fleetv1.Site) string { return number(s.GetTerminals()) }},
		{Title: "ONLINE", Text: func(s *fleetv1.Site) string { return number(s.GetOnline()) }, Style: siteStyle},
		{Title: "DESCRIPTION", Text: (*fleetv1.Site).GetDescription},
		{Title: "CREATED", Wide: true, Text: func(s *fleetv1.Site) string { return output.UTC(s.GetCreated()) }},
	}
}

func siteStyle(s *fleetv1.Site) output.Style {
	if s.GetOnline() < s.GetTerminals() {
		return output.Doubt
	}
	return output.Good
}
