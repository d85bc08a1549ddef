package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newGetTrust(a *app) *cobra.Command {
	req := &fleetv1.ListTrustRequest{}
	c := &cobra.Command{
		Use:   "trust",
		Short: "List which terminals trust the approved roots",
		Long: `Lists, for each root certificate that a site approves, how many of its terminals trust it, how many do not, and of how many it is not
known, as of their last scan. With -o wide, or for one root, the terminals are named.`,
		Example: "  fleetctl get trust --site lyon\n  fleetctl get trust --root \"Plant root 2024\"",
		Args:    takes(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runGetTrust(cmd.Context(), a, req) },
	}
	c.Flags().StringVar(&req.Site, "site", "", "roots of this `site` only")
	c.Flags().StringVar(&req.Root, "root", "", "this `root` only, by its name or SHA-256")
	mustComplete(c, "site", a.completeSites)
	mustComplete(c, "root", a.completeRoots)
	return c
}

func runGetTrust(ctx context.Context, a *app, req *fleetv1.ListTrustRequest) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Certificates.ListTrust(ctx, req)
	if err != nil {
		return err
	}
	err = printList(a, listing[*fleetv1.RootTrust]{
		noun: "approved roots", document: resp, rows: resp.GetRoots(), columns: trustColumns(), name: (*fleetv1.RootTrust).GetSha256,
	})
	if err == nil && a.format == output.Table && req.GetRoot() != "" {
		for _, r := range resp.GetRoots() {
			printLines(a, "Do not trust it at "+r.GetSite(), "none", namedOf(r.GetMissing(), r.GetMissingTotal()))
			printLines(a, "Not known at "+r.GetSite(), "none", namedOf(r.GetUnknown(), r.GetUnknownTotal()))
		}
	}
	return err
}

func trustColumns() []output.Column[*fleetv1.RootTrust] {
	return []output.Column[*fleetv1.RootTrust]{
		{Title: "SITE", Text: (*fleetv1.RootTrust).GetSite},
		{Title: "ROOT", Text: (*fleetv1.RootTrust).GetName},
		{Title: "TRUST", Text: func(r *fleetv1.RootTrust) string { return number(r.GetTrusting()) }},
		{Title: "DO-NOT", Text: func(r *fleetv1.RootTrust) string { return number(r.GetMissingTotal()) }, Style: trustStyle},
		{Title: "NOT-KNOWN", Text: func(r *fleetv1.RootTrust) string { return number(r.GetUnknownTotal()) }, Style: trustStyle},
		{Title: "SHA256", Wide: true, Text: (*fleetv1.RootTrust).GetSha256},
		{Title: "DO-NOT-TRUST", Wide: true, Text: func(r *fleetv1.RootTrust) string {
			return strings.Join(namedOf(r.GetMissing(), r.GetMissingTotal()), ", ")
		}},
		{Title: "NOT-KNOWN-OF", Wide: true, Text: func(r *fleetv1.RootTrust) string {
			return strings.Join(namedOf(r.GetUnknown(), r.GetUnknownTotal()), ", ")
		}},
	}
}

func trustStyle(r *fleetv1.RootTrust) output.Style {
	switch {
	case r.GetMissingTotal() > 0:
		return output.Bad
	case r.GetUnknownTotal() > 0:
		return output.Doubt
	default:
		return output.Good
	}
}

// namedOf are the names, and how many are not named.
func namedOf(names []string, total uint32) []string {
	if left := int(total) - len(names); left > 0 {
		return append(append([]string{}, names...), "and "+number(uint32(left))+" more")
	}
	return names
}

func (a *app) completeRoots(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.ask(cmd.Context(), typed, func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.Certificates.ListTrust(ctx, &fleetv1.ListTrustRequest{})
		return namesOf(resp.GetRoots(), (*fleetv1.RootTrust).GetSha256), err
	})
}
