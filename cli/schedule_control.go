package cli

import (
	"context"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// scheduleVerb makes a command that does something to one schedule, for a reason.
func scheduleVerb(a *app, c *cobra.Command, run func(ctx context.Context, c *client.Client, name, reason string) error) *cobra.Command {
	reason := ""
	c.Args = takes(1, "SCHEDULE")
	c.ValidArgsFunction = byPlace(a.completeSchedules)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		server, err := a.connect()
		if err != nil {
			return err
		}
		defer server.Close()
		return run(cmd.Context(), server, args[0], reason)
	}
	addReason(c, &reason)
	return c
}

func newSchedulePause(a *app) *cobra.Command {
	return scheduleVerb(a, &cobra.Command{
		Use:   "pause SCHEDULE",
		Short: "Have a schedule create nothing, for now",
		Long: `Has a schedule create nothing until "fleetctl schedule resume". Times that pass meanwhile are no times; a job that was created goes
on.`,
		Example: "  fleetctl schedule pause nightly-look --reason \"stock-taking\"",
	}, func(ctx context.Context, c *client.Client, name, reason string) error {
		return pauseSchedule(ctx, a, c, &fleetv1.PauseScheduleRequest{Name: name, Paused: true, Reason: reason})
	})
}

func newScheduleResume(a *app) *cobra.Command {
	return scheduleVerb(a, &cobra.Command{
		Use:     "resume SCHEDULE",
		Short:   "Let a schedule that is paused go on",
		Long:    "Lets a schedule that is paused go on with its next time. Times that passed meanwhile are not made up for.",
		Example: "  fleetctl schedule resume nightly-look",
	}, func(ctx context.Context, c *client.Client, name, reason string) error {
		return pauseSchedule(ctx, a, c, &fleetv1.PauseScheduleRequest{Name: name, Reason: reason})
	})
}

func pauseSchedule(ctx context.Context, a *app, c *client.Client, r *fleetv1.PauseScheduleRequest) error {
	resp, err := c.Schedules.PauseSchedule(ctx, r)
	if err != nil {
		return err
	}
	s := resp.GetSchedule()
	return printObject(a, s, s.GetName(), func() { a.out.Line("schedule %s: next: %s", s.GetName(), nextWord(s)) })
}

func newScheduleRunNow(a *app) *cobra.Command {
	return scheduleVerb(a, &cobra.Command{
		Use:     "run-now SCHEDULE",
		Short:   "Create a schedule's job now, once, in your own name",
		Long:    `Creates the job of a schedule now, in your own name and with your rights. Its set times stay as they are.`,
		Example: "  fleetctl schedule run-now certificates\n  fleetctl schedule run-now certificates -o name",
	}, func(ctx context.Context, c *client.Client, name, reason string) error {
		resp, err := c.Schedules.RunSchedule(ctx, &fleetv1.RunScheduleRequest{Name: name, Reason: reason, RequestId: ulid.Make().String()})
		if err != nil {
			return err
		}
		job := resp.GetRun().GetJobId()
		return printObject(a, resp.GetRun(), job, func() {
			a.out.Line("job %s is created", job)
			a.out.Line("next: `fleetctl job watch %s`", job)
		})
	})
}

func newScheduleDelete(a *app) *cobra.Command {
	return scheduleVerb(a, &cobra.Command{
		Use:     "delete SCHEDULE",
		Short:   "Remove a schedule and its history; its jobs stay",
		Long:    "Removes a schedule and the history of its times. The jobs that it created stay, and the audit record names it.",
		Example: "  fleetctl schedule delete nightly-look --reason \"replaced by weekly-look\"",
	}, func(ctx context.Context, c *client.Client, name, reason string) error {
		if _, err := c.Schedules.DeleteSchedule(ctx, &fleetv1.DeleteScheduleRequest{Name: name, Reason: reason}); err != nil {
			return err
		}
		a.out.Line("schedule %s is removed; its jobs stay", name)
		return nil
	})
}

// defaultRunLimit is how much of a history is listed unless told otherwise.
const defaultRunLimit = 30

func newScheduleHistory(a *app) *cobra.Command {
	limit := 0
	c := &cobra.Command{
		Use:               "history SCHEDULE",
		Short:             "List what came of a schedule's times, newest first",
		Long:              `Lists what came of a schedule's times, newest first: the job that was created, or why none was. The last 500 are kept.`,
		Example:           "  fleetctl schedule history certificates",
		Args:              takes(1, "SCHEDULE"),
		ValidArgsFunction: byPlace(a.completeSchedules),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			resp, err := c.ScheduleRuns(cmd.Context(), args[0], limit)
			if err != nil {
				return err
			}
			return printList(a, listing[*fleetv1.ScheduleRun]{
				noun: "times that have come", document: resp, rows: resp.GetRuns(), columns: runColumns(), name: (*fleetv1.ScheduleRun).GetJobId,
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", defaultRunLimit, "most times to list; 0 means all")
	return c
}

func runColumns() []output.Column[*fleetv1.ScheduleRun] {
	return []output.Column[*fleetv1.ScheduleRun]{
		{Title: "TIME", Text: func(r *fleetv1.ScheduleRun) string { return output.UTC(r.GetTime()) }},
		{Title: "JOB", Text: (*fleetv1.ScheduleRun).GetJobId},
		{Title: "HOW", Text: howWord},
		{Title: "PROBLEM", Text: (*fleetv1.ScheduleRun).GetProblem},
		{Title: "ACTED", Wide: true, Text: func(r *fleetv1.ScheduleRun) string { return output.UTC(r.GetActed()) }},
	}
}

// howWord says how a time came about.
func howWord(r *fleetv1.ScheduleRun) string {
	switch {
	case r.GetBy() != "":
		return "by hand, " + r.GetBy()
	case r.GetCaughtUp():
		return "caught up"
	default:
		return "on time"
	}
}
