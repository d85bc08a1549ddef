package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

type jobWhyOptions struct {
	id, terminal string
}

func newJobWhy(a *app) *cobra.Command {
	o := &jobWhyOptions{}
	return &cobra.Command{
		Use:   "why JOB [TERMINAL]",
		Short: "Say why tasks have not started",
		Long: `Says why tasks of a job have not started: what holds the whole job up, then each reason with what blocks, when it is looked at next,
and which terminals it holds up. With -o wide it lists every task that waits in a line ("on an event" when there is no time of the
next look: the terminal comes online, a slot gets free). With a terminal it tells the story of that task, whatever its state.
With -o json or yaml it prints {job, tasks} with these tasks only.`,
		Example:           "  fleetctl job why 01JD...\n  fleetctl job why 01JD... lyon-03",
		Args:              takes(1, "JOB", "TERMINAL"),
		ValidArgsFunction: byPlace(a.completeJobs, a.completeTerminals),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id, o.terminal = args[0], first(args[1:])
			return runJobWhy(cmd.Context(), a, o)
		},
	}
}

func runJobWhy(ctx context.Context, a *app, o *jobWhyOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	b, err := readBoard(ctx, c, o.id, o.terminal)
	if err != nil {
		return err
	}
	if o.terminal != "" {
		return printStory(a, b)
	}
	tasks := waitingTasks(b.ordered())
	if a.format == output.Table {
		printWhy(a, b, tasks)
		return nil
	}
	return printList(a, listing[*fleetv1.Task]{
		noun:     "tasks wait; " + countsWord(b.job),
		document: &fleetv1.WatchJobResponse{Job: b.job, Tasks: tasks},
		rows:     tasks,
		columns:  whyColumns(a, b.job.GetDryRun()),
		name:     (*fleetv1.Task).GetTerminalName,
	})
}

func waitingTasks(tasks []*fleetv1.Task) []*fleetv1.Task {
	var out []*fleetv1.Task
	for _, t := range tasks {
		if t.GetState() != fleetv1.TaskState_TASK_STATE_DONE && t.GetState() != fleetv1.TaskState_TASK_STATE_RUNNING {
			out = append(out, t)
		}
	}
	return out
}

func whyColumns(a *app, dryRun bool) []output.Column[*fleetv1.Task] {
	return []output.Column[*fleetv1.Task]{
		{Title: "TERMINAL", Text: (*fleetv1.Task).GetTerminalName},
		{Title: "SITE", Text: (*fleetv1.Task).GetSite},
		{Title: "STATE", Text: func(t *fleetv1.Task) string { return word(t.GetState()) }},
		{Title: "WHY", Text: func(t *fleetv1.Task) string { return whyWord(t, dryRun) }},
		{Title: "DETAIL", Text: whyDetail},
		{Title: "NEXT-LOOK", Text: func(t *fleetv1.Task) string { return nextLook(a, t) }},
		{Title: "NEXT-LOOK-AT", Wide: true, Text: func(t *fleetv1.Task) string { return output.UTC(t.GetWait().GetNextLook()) }},
	}
}

// whyWord is the reason of a task that waits, the status of one that has a result.
func whyWord(t *fleetv1.Task, dryRun bool) string {
	switch t.GetState() {
	case fleetv1.TaskState_TASK_STATE_WAITING:
		return word(t.GetWait().GetReason())
	case fleetv1.TaskState_TASK_STATE_DONE:
		return taskWord(t, dryRun)
	default:
		return ""
	}
}

func whyDetail(t *fleetv1.Task) string {
	if t.GetState() == fleetv1.TaskState_TASK_STATE_WAITING {
		return t.GetWait().GetDetail()
	}
	return whatWord(t)
}

func nextLook(a *app, t *fleetv1.Task) string {
	switch {
	case t.GetState() != fleetv1.TaskState_TASK_STATE_WAITING:
		return ""
	case t.GetWait().GetNextLook() == nil:
		return "on an event"
	default:
		return output.Ago(t.GetWait().GetNextLook(), a.now())
	}
}
