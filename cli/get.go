package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newGet(a *app) *cobra.Command {
	return newGroup("get", "List sites, terminals, bands, jobs, actions, certificates, faults, incidents, freezes, tokens or operators",
		"Lists objects of your sites, or shows the one that is named. An empty list is no error.",
		"  fleetctl get terminals --site lyon --offline\n  fleetctl get jobs --active\n  fleetctl get terminal lyon-01 -o json",
		newGetSites(a), newGetTerminals(a), newGetBands(a), newGetJobs(a), newGetActions(a), newGetCerts(a), newGetTrust(a), newGetFaults(a), newGetIncidents(a), newGetUnmatchedLines(a), newGetFreezes(a),
		newGetTokens(a), newGetOperators(a))
}

func newGetSites(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "sites [NAME]",
		Aliases:           []string{"site"},
		Short:             "List sites",
		Long:              "Lists your sites with their number of terminals and how many of them are online.",
		Example:           "  fleetctl get sites",
		Args:              takes(0, "NAME"),
		ValidArgsFunction: byPlace(a.completeSites),
		RunE:              func(cmd *cobra.Command, args []string) error { return runGetSites(cmd.Context(), a, first(args)) },
	}
}

func runGetSites(ctx context.Context, a *app, name string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	l := listing[*fleetv1.Site]{noun: "sites", columns: siteColumns(), name: (*fleetv1.Site).GetName}
	if name != "" {
		resp, err := c.Inventory.GetSite(ctx, &fleetv1.GetSiteRequest{Name: name})
		if err != nil {
			return err
		}
		l.document, l.rows = resp.GetSite(), []*fleetv1.Site{resp.GetSite()}
		return printList(a, l)
	}
	resp, err := c.Sites(ctx)
	if err != nil {
		return err
	}
	l.document, l.rows = resp, resp.GetSites()
	return printList(a, l)
}

type getBandsOptions struct {
	serial, site, status string
}

func newGetBands(a *app) *cobra.Command {
	o := &getBandsOptions{}
	c := &cobra.Command{
		Use:               "bands [SERIAL]",
		Aliases:           []string{"band"},
		Short:             "List bands",
		Long:              "Lists the bands of your sites.",
		Example:           "  fleetctl get bands --site lyon --status fault",
		Args:              takes(0, "SERIAL"),
		ValidArgsFunction: byPlace(a.completeBands),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.serial = first(args)
			return runGetBands(cmd.Context(), a, o)
		},
	}
	c.Flags().StringVar(&o.site, "site", "", "bands of this `site` only")
	c.Flags().StringVar(&o.status, "status", "", "bands with this `status` only")
	mustComplete(c, "site", a.completeSites)
	mustComplete(c, "status", fixedCompletion(words(fleetv1.BandStatus(0))...))
	return c
}

func runGetBands(ctx context.Context, a *app, o *getBandsOptions) error {
	req := &fleetv1.ListBandsRequest{Site: o.site}
	if o.status != "" {
		status, err := parseWord[fleetv1.BandStatus]("--status", o.status)
		if err != nil {
			return err
		}
		req.Status = status
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	l := listing[*fleetv1.Band]{noun: "bands", columns: bandColumns(), name: (*fleetv1.Band).GetSerial}
	if o.serial != "" {
		resp, err := c.Inventory.GetBand(ctx, &fleetv1.GetBandRequest{Serial: o.serial})
		if err != nil {
			return err
		}
		l.document, l.rows = resp.GetBand(), []*fleetv1.Band{resp.GetBand()}
		return printList(a, l)
	}
	resp, err := c.Bands(ctx, req)
	if err != nil {
		return err
	}
	l.document, l.rows = resp, resp.GetBands()
	return printList(a, l)
}

func newGetTokens(a *app) *cobra.Command {
	c := newTokenList(a)
	c.Use, c.Aliases, c.Example = "tokens", []string{"token"}, "  fleetctl get tokens"
	return c
}

func newGetOperators(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "operators [NAME]",
		Aliases:           []string{"operator"},
		Short:             "List operators",
		Long:              "Lists all operators with their roles. Only an administrator of all sites may do it.",
		Example:           "  fleetctl get operators",
		Args:              takes(0, "NAME"),
		ValidArgsFunction: byPlace(a.completeOperators),
		RunE:              func(cmd *cobra.Command, args []string) error { return runGetOperators(cmd.Context(), a, first(args)) },
	}
}

func runGetOperators(ctx context.Context, a *app, name string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Operators(ctx)
	if err != nil {
		return err
	}
	l := listing[*fleetv1.Operator]{
		noun: "operators", document: resp, rows: resp.GetOperators(), columns: operatorColumns(a), name: (*fleetv1.Operator).GetName,
	}
	if name != "" {
		op, err := operatorNamed(resp, name)
		if err != nil {
			return err
		}
		l.document, l.rows = op, []*fleetv1.Operator{op}
	}
	return printList(a, l)
}

func operatorNamed(list *fleetv1.ListOperatorsResponse, name string) (*fleetv1.Operator, error) {
	for _, op := range list.GetOperators() {
		if op.GetName() == name {
			return op, nil
		}
	}
	return nil, exit.Errorf(exit.NotFound, "operator %q: not found", name).Then("list them with `fleetctl get operators`")
}

// first returns the optional only argument.
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
