package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/output"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newJobShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show JOB [TERMINAL]",
		Short: "Show a job and its tasks, or all that one task did",
		Long: `Shows a job with a line for each task; of more than a hundred tasks those alone that have not succeeded, run, or wait for
something of their own, and -o wide shows all. With a terminal it shows that task in full: plan, effects with the states before
and after, checks, evidence, what was put back, and the plugin's last output.

With -o json or yaml it prints {job, tasks}, the shape of a WatchJobResponse; -o name prints the terminals' names.`,
		Example:           "  fleetctl job show 01JD...\n  fleetctl job show 01JD... lyon-01",
		Args:              takes(1, "JOB", "TERMINAL"),
		ValidArgsFunction: byPlace(a.completeJobs, a.completeTerminals),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			return showJob(cmd.Context(), a, c, args[0], first(args[1:]))
		},
	}
}

func showJob(ctx context.Context, a *app, c *client.Client, id, terminal string) error {
	b, err := readBoard(ctx, c, id, terminal)
	if err != nil {
		return err
	}
	switch {
	case a.format == output.JSON || a.format == output.YAML:
		return a.out.Message(a.format, b.document())
	case a.format != output.Name && terminal == "":
		printJob(a, b.job)
	case a.format != output.Name:
		for _, t := range b.ordered() {
			printTask(a, t, b.job.GetDryRun())
		}
		return nil
	}
	rows := b.ordered()
	if a.format == output.Table {
		rows = notable(rows)
	}
	err = printList(a, listing[*fleetv1.Task]{
		noun: "tasks to show", rows: rows, columns: taskColumns(b.job.GetDryRun()), name: (*fleetv1.Task).GetTerminalName,
	})
	if hidden := len(b.tasks) - len(rows); hidden > 0 {
		a.info.Line("%s not shown; all of them with -o wide, or in a file with `fleetctl job report %s -f FILE.csv`", output.Count(hidden, "target"), id)
	}
	return err
}

// shownTasks is the most tasks for which `job show` prints a line each unless all are asked for.
const shownTasks = 100

// notable returns all of a few tasks, and of many those that somebody may have to look at: that have not succeeded, that run, and
// that wait for something of their own.
func notable(tasks []*fleetv1.Task) []*fleetv1.Task {
	if len(tasks) <= shownTasks {
		return tasks
	}
	var out []*fleetv1.Task
	for _, t := range tasks {
		done := t.GetState() == fleetv1.TaskState_TASK_STATE_DONE
		if (done && !succeeded(t.GetStatus())) || (!done && !waitsItsTurn(t)) {
			out = append(out, t)
		}
	}
	return out[:min(len(out), shownTasks)]
}

// readBoard reads a job and its tasks as they are now; terminal may be empty for all.
func readBoard(ctx context.Context, c *client.Client, id, terminal string) (*board, error) {
	resp, err := c.Jobs.GetJob(ctx, &fleetv1.GetJobRequest{Id: id})
	if err != nil {
		return nil, err
	}
	tasks, err := c.Tasks(ctx, id, terminal)
	if err != nil {
		return nil, err
	}
	b := newBoard(resp.GetJob())
	b.apply(&fleetv1.WatchJobResponse{Tasks: tasks})
	return b, nil
}

func taskColumns(dryRun bool) []output.Column[*fleetv1.Task] {
	return []output.Column[*fleetv1.Task]{
		{Title: "TERMINAL", Text: (*fleetv1.Task).GetTerminalName},
		{Title: "SITE", Text: (*fleetv1.Task).GetSite},
		{Title: "STATUS", Text: func(t *fleetv1.Task) string { return taskWord(t, dryRun) }, Style: taskStyle},
		{Title: "TOOK", Text: tookWord},
		{Title: "WHAT", Text: func(t *fleetv1.Task) string { return rowWord(t, dryRun) }},
		{Title: "ID", Wide: true, Text: (*fleetv1.Task).GetTerminalId},
		{Title: "ATTEMPT", Wide: true, Text: func(t *fleetv1.Task) string { return number(attempts(t)) }},
		{Title: "STARTED", Wide: true, Text: func(t *fleetv1.Task) string { return output.UTC(t.GetStarted()) }},
		{Title: "FINISHED", Wide: true, Text: func(t *fleetv1.Task) string { return output.UTC(t.GetFinished()) }},
		{Title: "PLUGIN", Wide: true, Text: func(t *fleetv1.Task) string {
			return joinWords(" ", t.GetResult().GetPlugin(), t.GetResult().GetPluginVersion())
		}},
		{Title: "NEXT", Wide: true, Text: func(t *fleetv1.Task) string { return t.GetResult().GetNextStep() }},
	}
}

// taskWord is a task's status when it has one, else its state.
func taskWord(t *fleetv1.Task, dryRun bool) string {
	if t.GetState() == fleetv1.TaskState_TASK_STATE_DONE {
		return statusWord(t.GetStatus(), dryRun)
	}
	return word(t.GetState())
}

func tookWord(t *fleetv1.Task) string {
	r := t.GetResult()
	if r.GetStarted() == nil || r.GetFinished() == nil {
		return ""
	}
	return output.Duration(max(r.GetFinished().AsTime().Sub(r.GetStarted().AsTime()), 0))
}

// whatWord says what came of a task, or what it waits for.
func whatWord(t *fleetv1.Task) string {
	if t.GetState() != fleetv1.TaskState_TASK_STATE_DONE {
		return joinWords("; ", strings.TrimPrefix(stateLine(t, false), word(t.GetState())+": "), t.GetProgress())
	}
	return joinWords("; ", t.GetResult().GetReason(), didWord(t.GetResult()), recoveredWord(t.GetResult()))
}

// rowWord is whatWord for a row of a table: of a failure only the first words.
func rowWord(t *fleetv1.Task, dryRun bool) string {
	if t.GetState() != fleetv1.TaskState_TASK_STATE_DONE || (succeeded(t.GetStatus()) && !dryRun) {
		return whatWord(t)
	}
	return briefWord(t, dryRun)
}

// stamp writes the time of day of a moment in a run, to the millisecond, in UTC.
func stamp(t time.Time) string { return t.UTC().Format("15:04:05.000Z") }

// stampSeconds writes a time of day in UTC where there is no room for the date.
func stampSeconds(t *timestamppb.Timestamp) string { return t.AsTime().UTC().Format("15:04:05Z") }

// confirmationWord writes a person's answer: `confirmed by ada ("it is on the charger")`.
func confirmationWord(c *actionv1.Confirmation) string {
	text := "not confirmed"
	if c.GetConfirmed() {
		text = "confirmed"
	}
	if c.GetBy() == "" {
		return text + ", nobody answered in time"
	}
	return joinWords(": ", text+" by "+c.GetBy(), c.GetNote())
}
