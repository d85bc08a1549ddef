package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show how the fleet is on one page",
		Long: `Shows your sites with their terminals, how many are online and how many told of a fault, the jobs that are not done, what their
tasks wait for, and how many questions wait for a person. It is made of counts alone, so it is quick however large the fleet is.`,
		Example: "  fleetctl status\n  fleetctl status -o json",
		Args:    takes(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runStatus(cmd.Context(), a) },
	}
}

func runStatus(ctx context.Context, a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Jobs.GetOverview(ctx, &fleetv1.GetOverviewRequest{})
	if err != nil {
		return err
	}
	if a.format.Machine() {
		return printList(a, listing[*fleetv1.SiteOverview]{document: resp, rows: resp.GetSites(), name: (*fleetv1.SiteOverview).GetName})
	}
	printOverview(a, resp)
	return nil
}

func printOverview(a *app, o *fleetv1.GetOverviewResponse) {
	if len(o.GetSites()) == 0 {
		a.out.Line("no sites")
	} else {
		output.Rows(a.out, a.format == output.Wide, overviewColumns(), o.GetSites())
	}
	a.out.Line("")
	a.out.Line("%s", a.out.Paint(output.Bold, overviewJobs(o)))
	if o.GetActiveJobs() > 0 {
		a.out.Line("  %s", countsWord(&fleetv1.Job{Counts: o.GetTasks()}))
	}
	for _, w := range o.GetWaits() {
		a.out.Line("  %s: %s", output.Count(w.GetTasks(), "task")+" waiting", word(w.GetReason()))
	}
	printOverviewNext(a, o)
}

func overviewColumns() []output.Column[*fleetv1.SiteOverview] {
	return []output.Column[*fleetv1.SiteOverview]{
		{Title: "SITE", Text: (*fleetv1.SiteOverview).GetName},
		{Title: "TERMINALS", Text: func(s *fleetv1.SiteOverview) string { return number(s.GetTerminals()) }},
		{Title: "ONLINE", Text: func(s *fleetv1.SiteOverview) string { return number(s.GetOnline()) }, Style: lessIsDoubt},
		{Title: "UNHEALTHY", Text: func(s *fleetv1.SiteOverview) string { return number(s.GetUnhealthy()) }, Style: anyIsBad},
	}
}

func lessIsDoubt(s *fleetv1.SiteOverview) output.Style {
	if s.GetOnline() < s.GetTerminals() {
		return output.Doubt
	}
	return output.Good
}

func anyIsBad(s *fleetv1.SiteOverview) output.Style {
	if s.GetUnhealthy() > 0 {
		return output.Bad
	}
	return output.Good
}

// overviewJobs writes how many jobs are not done: "3 active jobs: 1 paused, 1 awaiting approval".
func overviewJobs(o *fleetv1.GetOverviewResponse) string {
	var held []string
	if n := o.GetPausedJobs(); n > 0 {
		held = append(held, number(n)+" paused")
	}
	if n := o.GetUnapprovedJobs(); n > 0 {
		held = append(held, number(n)+" awaiting approval")
	}
	return joinWords(": ", output.Count(o.GetActiveJobs(), "active job"), joinWords(", ", held...))
}

// printOverviewNext says what waits for people.
func printOverviewNext(a *app, o *fleetv1.GetOverviewResponse) {
	if n := o.GetQuestions(); n > 0 {
		a.out.Line("  %s", a.out.Paint(output.Doubt, output.Count(n, "question")+" to people"))
	}
	if o.GetPausedJobs()+o.GetUnapprovedJobs()+o.GetQuestions() > 0 {
		a.out.Line("next: find them with `fleetctl get jobs --active`, then see `fleetctl job show JOB`")
	}
}
