package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// defaultJobLimit is how many jobs a list shows unless told otherwise: a fleet has thousands of old ones.
const defaultJobLimit = 50

type getJobsOptions struct {
	id     string
	site   string
	active bool
	limit  int
}

func newGetJobs(a *app) *cobra.Command {
	o := &getJobsOptions{}
	c := &cobra.Command{
		Use:     "jobs [JOB]",
		Aliases: []string{"job"},
		Short:   "List jobs, newest first",
		Long: `Lists the jobs on your sites, newest first. When there are more than --limit, the rest is left out and the list says so
(as JSON: nextPageToken is set).`,
		Example:           "  fleetctl get jobs --active\n  fleetctl get jobs --limit 0 -o json",
		Args:              takes(0, "JOB"),
		ValidArgsFunction: byPlace(a.completeJobs),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = first(args)
			return runGetJobs(cmd.Context(), a, o)
		},
	}
	c.Flags().StringVar(&o.site, "site", "", "jobs with targets at this `site` only")
	c.Flags().BoolVar(&o.active, "active", false, "only jobs that are not done")
	c.Flags().IntVar(&o.limit, "limit", defaultJobLimit, "most jobs to list; 0 means all")
	mustComplete(c, "site", a.completeSites)
	return c
}

func runGetJobs(ctx context.Context, a *app, o *getJobsOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	l := listing[*fleetv1.Job]{noun: "jobs", columns: jobColumns(a), name: (*fleetv1.Job).GetId}
	if o.id != "" {
		resp, err := c.Jobs.GetJob(ctx, &fleetv1.GetJobRequest{Id: o.id})
		if err != nil {
			return err
		}
		l.document, l.rows = resp.GetJob(), []*fleetv1.Job{resp.GetJob()}
		return printList(a, l)
	}
	resp, err := c.ListJobs(ctx, &fleetv1.ListJobsRequest{Site: o.site, ActiveOnly: o.active}, o.limit)
	if err != nil {
		return err
	}
	l.document, l.rows = resp, resp.GetJobs()
	if err := printList(a, l); err != nil {
		return err
	}
	if resp.GetNextPageToken() != "" {
		a.info.Line("there are older jobs; --limit 0 lists all")
	}
	return nil
}

func jobColumns(a *app) []output.Column[*fleetv1.Job] {
	return []output.Column[*fleetv1.Job]{
		{Title: "JOB", Text: (*fleetv1.Job).GetId},
		{Title: "ACTION", Text: actionOf},
		{Title: "STATE", Text: jobWord, Style: jobStyle},
		{Title: "DONE", Text: func(j *fleetv1.Job) string {
			return number(finished(j.GetCounts())) + "/" + number(j.GetCounts().GetTotal())
		}},
		{Title: "NOT-OK", Text: func(j *fleetv1.Job) string { return number(unsuccessful(j.GetCounts())) }},
		{Title: "SITES", Text: func(j *fleetv1.Job) string { return list(j.GetSites()) }},
		{Title: "BY", Text: (*fleetv1.Job).GetRequester},
		{Title: "CREATED", Text: func(j *fleetv1.Job) string { return output.Ago(j.GetCreated(), a.now()) }},
		{Title: "REASON", Wide: true, Text: (*fleetv1.Job).GetReason},
		{Title: "PARAMS", Wide: true, Text: func(j *fleetv1.Job) string { return pairs(j.GetParams()) }},
		{Title: "CREATED-AT", Wide: true, Text: func(j *fleetv1.Job) string { return output.UTC(j.GetCreated()) }},
		{Title: "FINISHED-AT", Wide: true, Text: func(j *fleetv1.Job) string { return output.UTC(j.GetFinished()) }},
	}
}

// actionOf names the action, and says so when it was only asked what it would do.
func actionOf(j *fleetv1.Job) string {
	if j.GetDryRun() {
		return j.GetAction() + " (dry run)"
	}
	return j.GetAction()
}

// jobWord is a job's state; what people must act on is in capitals.
func jobWord(j *fleetv1.Job) string {
	switch {
	case missing(j) > 0:
		return "AWAITING APPROVAL"
	case j.GetPause() != nil && j.GetState() != fleetv1.JobState_JOB_STATE_DONE:
		return "PAUSED"
	case j.GetApproval().GetRejection() != nil:
		return word(j.GetState()) + ", rejected"
	case j.GetCancelled():
		return word(j.GetState()) + ", cancelled"
	default:
		return word(j.GetState())
	}
}

func jobStyle(j *fleetv1.Job) output.Style {
	switch {
	case missing(j) > 0 || (j.GetPause() != nil && j.GetState() != fleetv1.JobState_JOB_STATE_DONE):
		return output.Doubt
	case j.GetState() != fleetv1.JobState_JOB_STATE_DONE:
		return output.Active
	case unsuccessful(j.GetCounts()) > 0:
		return output.Bad
	default:
		return output.Good
	}
}

// finished counts the targets that have a result.
func finished(c *fleetv1.JobCounts) uint32 { return c.GetTotal() - c.GetWaiting() - c.GetRunning() }

// unsuccessful counts the targets that have a result which is no success.
func unsuccessful(c *fleetv1.JobCounts) uint32 {
	return c.GetFailed() + c.GetRolledBack() + c.GetRollbackFailed() + c.GetExpired() + c.GetRefused() + c.GetCancelled() +
		c.GetUnknown() + c.GetConflict()
}
