package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newGetIncidents(a *app) *cobra.Command {
	req := &fleetv1.ListIncidentsRequest{}
	c := &cobra.Command{
		Use:     "incidents",
		Aliases: []string{"incident"},
		Short:   "List common causes of many faults, the newest first",
		Long: `Lists incidents of your sites: one cause, such as a NES host that is down, of faults of many terminals. While one is open the remedies of
its members are held, and the cause is remedied first. "fleetctl get faults --incident I-12" lists the members.`,
		Example: "  fleetctl get incidents\n  fleetctl get incidents --all --site lyon",
		Args:    takes(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runGetIncidents(cmd.Context(), a, req) },
	}
	c.Flags().StringVar(&req.Site, "site", "", "of this `site` only")
	c.Flags().BoolVar(&req.IncludeResolved, "all", false, "also those that are over")
	mustComplete(c, "site", a.completeSites)
	return c
}

func runGetIncidents(ctx context.Context, a *app, req *fleetv1.ListIncidentsRequest) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.ListIncidents(ctx, req)
	if err != nil {
		return err
	}
	return printList(a, listing[*fleetv1.Incident]{
		noun: "incidents", document: resp, rows: resp.GetIncidents(), columns: incidentColumns(a), name: (*fleetv1.Incident).GetId,
	})
}

func incidentColumns(a *app) []output.Column[*fleetv1.Incident] {
	return []output.Column[*fleetv1.Incident]{
		{Title: "INCIDENT", Text: (*fleetv1.Incident).GetId},
		{Title: "STATE", Text: incidentState, Style: incidentStyle},
		{Title: "SITE", Text: (*fleetv1.Incident).GetSite},
		{Title: "WHAT", Text: (*fleetv1.Incident).GetTitle},
		{Title: "SINCE", Text: func(i *fleetv1.Incident) string { return output.Ago(i.GetOpened(), a.now()) }},
		{Title: "OPEN", Text: func(i *fleetv1.Incident) string { return number(i.GetOpenMembers()) + " of " + number(i.GetMembers()) }},
		{Title: "CAUSE", Text: (*fleetv1.Incident).GetCauseFault},
		{Title: "KIND", Wide: true, Text: (*fleetv1.Incident).GetKind},
		{Title: "SUBJECT", Wide: true, Text: (*fleetv1.Incident).GetSubject},
		{Title: "RESOLVED", Wide: true, Text: func(i *fleetv1.Incident) string { return output.UTC(i.GetResolved()) }},
	}
}

func incidentState(i *fleetv1.Incident) string {
	if i.GetResolved() != nil {
		return "over"
	}
	return "open"
}

func incidentStyle(i *fleetv1.Incident) output.Style {
	if i.GetResolved() != nil {
		return output.Good
	}
	return output.Bad
}

func newGetUnmatchedLines(a *app) *cobra.Command {
	site := ""
	c := &cobra.Command{
		Use:     "unmatched-lines",
		Aliases: []string{"unmatched"},
		Short:   "List lines of logs that say \"error\" and match no rule",
		Long: `Lists what lines of logs that say "error" and match no rule of the catalogue have in common, the most frequent first: numbers, ids and
names are masked. A line that means something deserves a rule in a pack of your own.`,
		Example: "  fleetctl get unmatched-lines --site lyon",
		Args:    takes(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runGetUnmatchedLines(cmd.Context(), a, site) },
	}
	c.Flags().StringVar(&site, "site", "", "of this `site` only")
	mustComplete(c, "site", a.completeSites)
	return c
}

func runGetUnmatchedLines(ctx context.Context, a *app, site string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Faults.ListUnmatchedLines(ctx, &fleetv1.ListUnmatchedLinesRequest{Site: site})
	if err != nil {
		return err
	}
	return printList(a, listing[*fleetv1.UnmatchedLine]{
		noun: "unmatched lines", document: resp, rows: resp.GetLines(), name: (*fleetv1.UnmatchedLine).GetTemplate,
		columns: []output.Column[*fleetv1.UnmatchedLine]{
			{Title: "COUNT", Text: func(l *fleetv1.UnmatchedLine) string { return number(uint32(min(l.GetCount(), 1<<31))) }},
			{Title: "TERMINALS", Text: func(l *fleetv1.UnmatchedLine) string { return number(l.GetTerminals()) }},
			{Title: "SITE", Text: (*fleetv1.UnmatchedLine).GetSite},
			{Title: "LOG", Text: (*fleetv1.UnmatchedLine).GetFileClass},
			{Title: "LINE", Text: (*fleetv1.UnmatchedLine).GetTemplate},
			{Title: "LAST", Wide: true, Text: func(l *fleetv1.UnmatchedLine) string { return output.Ago(l.GetLastSeen(), a.now()) }},
		},
	})
}
