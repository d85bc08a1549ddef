package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newSchedule(a *app) *cobra.Command {
	return newGroup("schedule", "Have jobs created at set times",
		`A schedule creates a job at set times, with the rights that its owner has then; approvals, windows and limits bind that job as any
other. "certificates" comes with the server: a nightly look at the certificates of all terminals.`,
		"  fleetctl schedule list\n  fleetctl schedule create nightly-look diagnose --cron \"30 2 * * *\" --site lyon\n  fleetctl schedule history certificates",
		newScheduleCreate(a), newScheduleList(a), newScheduleShow(a), newSchedulePause(a), newScheduleResume(a), newScheduleRunNow(a),
		newScheduleDelete(a), newScheduleHistory(a))
}

func newScheduleList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List schedules by name",
		Long:    "Lists the schedules of your sites by name, with when each comes next and what came of its last time.",
		Example: "  fleetctl schedule list\n  fleetctl schedule list -o wide",
		Args:    takes(0),
		RunE: listed(a, func(ctx context.Context, c *client.Client) (*fleetv1.ListSchedulesResponse, error) {
			return c.ListSchedules(ctx)
		}, func(resp *fleetv1.ListSchedulesResponse) listing[*fleetv1.Schedule] {
			return listing[*fleetv1.Schedule]{
				noun: "schedules", rows: resp.GetSchedules(), columns: scheduleColumns(), name: (*fleetv1.Schedule).GetName,
			}
		}),
	}
}

func scheduleColumns() []output.Column[*fleetv1.Schedule] {
	return []output.Column[*fleetv1.Schedule]{
		{Title: "SCHEDULE", Text: (*fleetv1.Schedule).GetName},
		{Title: "ACTION", Text: func(s *fleetv1.Schedule) string { return s.GetSpec().GetAction() }},
		{Title: "CRON", Text: (*fleetv1.Schedule).GetCron},
		{Title: "ZONE", Text: func(s *fleetv1.Schedule) string { return orWord(s.GetTimeZone(), "UTC") }},
		{Title: "NEXT", Text: nextWord, Style: scheduleStyle},
		{Title: "LAST", Text: lastWord},
		{Title: "OWNER", Text: (*fleetv1.Schedule).GetOwner},
		{Title: "SITES", Wide: true, Text: func(s *fleetv1.Schedule) string { return list(s.GetSites()) }},
		{Title: "OVERLAP", Wide: true, Text: func(s *fleetv1.Schedule) string { return word(s.GetOverlap()) }},
		{Title: "CATCH-UP", Wide: true, Text: func(s *fleetv1.Schedule) string { return word(s.GetCatchUp()) }},
		{Title: "JITTER", Wide: true, Text: func(s *fleetv1.Schedule) string { return output.Duration(s.GetJitter().AsDuration()) }},
	}
}

// nextWord is when a schedule comes next; what people must know is in capitals.
func nextWord(s *fleetv1.Schedule) string {
	switch {
	case s.GetPaused():
		return "PAUSED"
	case s.GetNext() == nil:
		return "never"
	default:
		return output.UTC(s.GetNext())
	}
}

// lastWord is what came of the last time.
func lastWord(s *fleetv1.Schedule) string {
	switch run := s.GetLast(); {
	case run == nil:
		return "-"
	case run.GetJobId() != "":
		return run.GetJobId()
	default:
		return run.GetProblem()
	}
}

func scheduleStyle(s *fleetv1.Schedule) output.Style {
	switch {
	case s.GetPaused():
		return output.Doubt
	case s.GetLast().GetProblem() != "":
		return output.Bad
	default:
		return output.Good
	}
}

func newScheduleShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "show SCHEDULE",
		Short:             "Show a schedule and what it does",
		Long:              "Shows a schedule in full: when it comes, what it creates where, by which rules and in whose name.",
		Example:           "  fleetctl schedule show certificates",
		Args:              takes(1, "SCHEDULE"),
		ValidArgsFunction: byPlace(a.completeSchedules),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			resp, err := c.Schedules.GetSchedule(cmd.Context(), &fleetv1.GetScheduleRequest{Name: args[0]})
			if err != nil {
				return err
			}
			s := resp.GetSchedule()
			return printObject(a, s, s.GetName(), func() { describeSchedule(a, s) })
		},
	}
}

func describeSchedule(a *app, s *fleetv1.Schedule) {
	spec := s.GetSpec()
	a.out.Fields(0,
		output.Text("Name", s.GetName()),
		output.Text("Cron", s.GetCron()+", by the clock of "+orWord(s.GetTimeZone(), "UTC")),
		output.Text("Jitter", "up to "+output.Duration(s.GetJitter().AsDuration())),
		output.Text("Next", nextWord(s)),
		output.Text("Last", lastWord(s)),
		output.Text("Overlap", overlapWords(s.GetOverlap())),
		output.Text("Catch-up", catchUpWords(s.GetCatchUp())),
		output.Text("Action", spec.GetAction()),
		output.Text("Parameters", pairs(spec.GetParams())),
		output.Text("Selection", selectionWord(spec.GetSelection())),
		output.Text("Sites", list(s.GetSites())),
		output.Text("Expires", "nothing of a job starts later than "+output.Duration(expiryOf(spec))+" after its time"),
		output.Text("Owner", s.GetOwner()),
		output.Text("Created", output.UTC(s.GetCreated())),
		output.Text("Reason", s.GetReason()),
	)
	if s.GetPaused() {
		a.out.Line("It is paused by %s; `fleetctl schedule resume %s` lets it go on.", s.GetPausedBy(), s.GetName())
	}
}

// defaultExpiry is what the server takes when none is given.
const defaultExpiry = time.Hour

func expiryOf(spec *fleetv1.JobSpec) time.Duration {
	if spec.GetExpiresIn() == nil {
		return defaultExpiry
	}
	return spec.GetExpiresIn().AsDuration()
}

func overlapWords(r fleetv1.OverlapRule) string {
	switch r {
	case fleetv1.OverlapRule_OVERLAP_RULE_AFTER:
		return "after: while the last job is not done it waits for that"
	case fleetv1.OverlapRule_OVERLAP_RULE_ALLOW:
		return "allow: jobs may run side by side"
	default:
		return "skip: while the last job is not done nothing is created"
	}
}

func catchUpWords(r fleetv1.CatchUpRule) string {
	if r == fleetv1.CatchUpRule_CATCH_UP_RULE_ONCE {
		return "once: times that passed while the server was down are made up for by one job"
	}
	return "skip: times that passed while the server was down are gone"
}
