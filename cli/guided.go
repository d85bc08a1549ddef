package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newGuided(a *app) *cobra.Command {
	return newGroup("guided", "Work through tasks that only a person can do",
		`A guided task is work for a person: what to do step by step, who does it, until when, and what came of it. Policies, reports of bands and
running jobs make them, and so can you. One that is due and not done goes to whoever is next.`,
		"  fleetctl guided list --site lyon\n  fleetctl guided take G-311\n  fleetctl guided tick G-311 1\n  fleetctl guided done G-311",
		newGuidedList(a), newGuidedShow(a), newGuidedCreate(a), newGuidedTake(a), newGuidedTick(a), newGuidedNote(a), newGuidedFile(a),
		newGuidedEscalate(a), newGuidedDone(a))
}

func newGuidedList(a *app) *cobra.Command {
	r := &fleetv1.ListGuidedTasksRequest{}
	c := &cobra.Command{
		Use: "list", Short: "List guided tasks, the most urgent first",
		Long:    "Lists the open guided tasks of your sites, the most urgent first and then by when they are due; with --all the closed ones, too.",
		Example: "  fleetctl guided list --site lyon\n  fleetctl guided list --assignee site-desk -o wide",
		Args:    takes(0),
		RunE: listed(a, func(ctx context.Context, c *client.Client) (*fleetv1.ListGuidedTasksResponse, error) {
			return c.GuidedTasks(ctx, r)
		}, func(resp *fleetv1.ListGuidedTasksResponse) listing[*fleetv1.GuidedTask] {
			return listing[*fleetv1.GuidedTask]{
				noun: "guided tasks", rows: resp.GetTasks(), columns: guidedColumns(a.now()), name: (*fleetv1.GuidedTask).GetId,
			}
		}),
	}
	f := c.Flags()
	f.StringVar(&r.Site, "site", "", "tasks of this `site` only")
	f.StringVar(&r.Assignee, "assignee", "", "tasks of this `operator` or role only")
	f.StringVar(&r.Terminal, "terminal", "", "tasks for this `terminal` only")
	f.StringVar(&r.Band, "band", "", "tasks for the band with this `serial` only")
	f.BoolVar(&r.IncludeClosed, "all", false, "closed ones, too")
	mustComplete(c, "site", a.completeSites)
	mustComplete(c, "terminal", a.completeTerminals)
	mustComplete(c, "band", a.completeBands)
	return c
}

func guidedColumns(now time.Time) []output.Column[*fleetv1.GuidedTask] {
	return []output.Column[*fleetv1.GuidedTask]{
		{Title: "TASK", Text: (*fleetv1.GuidedTask).GetId},
		{Title: "STATE", Text: guidedState, Style: guidedStyle},
		{Title: "PRIORITY", Text: priorityWord, Style: guidedStyle},
		{Title: "WHAT", Text: (*fleetv1.GuidedTask).GetTitle},
		{Title: "ABOUT", Text: aboutWord},
		{Title: "FOR", Text: (*fleetv1.GuidedTask).GetAssignee},
		{Title: "DUE", Text: func(t *fleetv1.GuidedTask) string { return dueWord(t, now) }},
		{Title: "STEPS", Text: stepsWord},
		{Title: "SITE", Wide: true, Text: (*fleetv1.GuidedTask).GetSite},
		{Title: "BY", Wide: true, Text: (*fleetv1.GuidedTask).GetCreatedBy},
		{Title: "ESCALATED", Wide: true, Text: func(t *fleetv1.GuidedTask) string { return number(t.GetEscalations()) }},
		{Title: "CREATED", Wide: true, Text: func(t *fleetv1.GuidedTask) string { return output.UTC(t.GetCreated()) }},
	}
}

func guidedOpen(t *fleetv1.GuidedTask) bool {
	return t.GetState() == fleetv1.GuidedState_GUIDED_STATE_OPEN || t.GetState() == fleetv1.GuidedState_GUIDED_STATE_TAKEN
}

// guidedState writes the state; of a closed one what came of it.
func guidedState(t *fleetv1.GuidedTask) string {
	if t.GetState() == fleetv1.GuidedState_GUIDED_STATE_DONE {
		return word(t.GetOutcome())
	}
	return word(t.GetState())
}

// priorityWord puts in capitals what people must not overlook.
func priorityWord(t *fleetv1.GuidedTask) string {
	if t.GetPriority() == fleetv1.GuidedPriority_GUIDED_PRIORITY_URGENT {
		return "URGENT"
	}
	return word(t.GetPriority())
}

func guidedStyle(t *fleetv1.GuidedTask) output.Style {
	switch {
	case !guidedOpen(t):
		return output.Faint
	case t.GetPriority() == fleetv1.GuidedPriority_GUIDED_PRIORITY_URGENT:
		return output.Bad
	default:
		return output.Active
	}
}

func aboutWord(t *fleetv1.GuidedTask) string {
	switch {
	case t.GetBand() != "":
		return "band " + t.GetBand()
	case t.GetTerminalName() != "":
		return t.GetTerminalName()
	default:
		return "site " + t.GetSite()
	}
}

// dueWord writes how long there is, or how long it is over.
func dueWord(t *fleetv1.GuidedTask, now time.Time) string {
	if t.GetDue() == nil || !guidedOpen(t) {
		return "-"
	}
	left := t.GetDue().AsTime().Sub(now)
	if left < 0 {
		return "OVER by " + output.Duration(-left)
	}
	return "in " + output.Duration(left)
}

// stepsWord counts the steps that are done of those that must be.
func stepsWord(t *fleetv1.GuidedTask) string {
	done, all := uint32(0), uint32(0)
	for _, s := range t.GetSteps() {
		if s.GetOptional() {
			continue
		}
		all++
		if s.GetDone() != nil {
			done++
		}
	}
	return number(done) + "/" + number(all)
}

func newGuidedShow(a *app) *cobra.Command {
	page := false
	c := &cobra.Command{
		Use: "show TASK", Short: "Show a guided task with its steps and notes",
		Long:    "Shows a guided task in full. --print writes a plain page with boxes to tick, for a clipboard where no screen is allowed.",
		Example: "  fleetctl guided show G-311\n  fleetctl guided show G-311 --print > task.txt",
		Args:    takes(1, "TASK"), ValidArgsFunction: byPlace(a.completeGuided),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			resp, err := c.Guided.GetGuidedTask(cmd.Context(), &fleetv1.GetGuidedTaskRequest{Id: args[0]})
			if err != nil {
				return err
			}
			t := resp.GetTask()
			return printObject(a, t, t.GetId(), func() {
				if page {
					printGuidedPage(a, t)
					return
				}
				describeGuided(a, t)
			})
		},
	}
	c.Flags().BoolVar(&page, "print", false, "write a plain page for a clipboard")
	return c
}

func describeGuided(a *app, t *fleetv1.GuidedTask) {
	fields := []output.Field{
		output.Text("Task", t.GetId()), output.Text("What", t.GetTitle()), output.Text("About", joinWords(", ", aboutWord(t), "site "+t.GetSite())),
		output.Text("State", guidedState(t)), output.Text("Priority", priorityWord(t)), output.Text("For", t.GetAssignee()), output.Text("Due", dueWord(t, a.now())),
		output.Text("Created", joinWords(" by ", output.UTC(t.GetCreated()), t.GetCreatedBy())), output.Text("Reason", t.GetReason()),
	}
	for _, f := range [][2]string{{"Entry", t.GetEntry()}, {"Fault", t.GetFaultId()}, {"Job", t.GetJobId()}, {"Escalated", escalatedWord(t)}, {"Helped when", t.GetVerify()}} {
		if f[1] != "" {
			fields = append(fields, output.Text(f[0], f[1]))
		}
	}
	a.out.Fields(0, fields...)
	for _, line := range t.GetEvidence() {
		a.out.Line("Read: %s", line)
	}
	a.out.Line("Steps:")
	for _, s := range t.GetSteps() {
		a.out.Line("  %s", joinWords("  ", tickWord(s)+" "+number(s.GetNumber())+".", s.GetText(), stepState(s, a.now())))
	}
	for _, n := range t.GetNotes() {
		a.out.Line("Note: %s", joinWords("  ", output.UTC(n.GetTime()), n.GetBy(), n.GetText(), attachedWord(n)))
	}
	describeGuidedEnd(a, t)
}

func describeGuidedEnd(a *app, t *fleetv1.GuidedTask) {
	if !guidedOpen(t) {
		a.out.Line("Closed as %s by %s at %s", guidedState(t), t.GetClosedBy(), output.UTC(t.GetClosed()))
		if t.GetNamed() != "" {
			a.out.Line("%s", namedWord(t))
		}
		return
	}
	if t.GetOtherPerson() {
		a.out.Line("Somebody else than %s has to close it.", t.GetCreatedBy())
	}
	if t.GetNameWanted() != "" {
		a.out.Line("Closing it as fixed needs a name: %s (`fleetctl guided done %s --named NAME`).", t.GetNameWanted(), t.GetId())
	}
}

// namedWord quotes who was named. It is what somebody says, and nothing that was seen.
func namedWord(t *fleetv1.GuidedTask) string {
	if strings.Contains(t.GetNameWanted(), "deactivated") {
		return t.GetNamed() + " says that it was deactivated in NES"
	}
	return t.GetNamed() + " is named as " + t.GetNameWanted()
}

func escalatedWord(t *fleetv1.GuidedTask) string {
	if t.GetEscalations() == 0 {
		return ""
	}
	return number(t.GetEscalations()) + " times"
}

func tickWord(s *fleetv1.GuidedStep) string {
	if s.GetDone() != nil {
		return "[x]"
	}
	return "[ ]"
}

// stepState says what is to be known of a step.
func stepState(s *fleetv1.GuidedStep, now time.Time) string {
	switch left := s.GetTimerEnds().AsTime().Sub(now); {
	case s.GetDone() != nil:
		return "(" + s.GetDoneBy() + ", " + output.UTC(s.GetDone()) + ")"
	case s.GetTimerEnds() != nil && left > 0:
		return "(wait for another " + output.Duration(left) + ")"
	case s.GetTimerEnds() != nil:
		return "(the wait is over)"
	case s.GetTimer() != nil:
		return "(takes " + output.Duration(s.GetTimer().AsDuration()) + "; the first tick starts the clock)"
	case s.GetOptional():
		return "(if need be)"
	default:
		return ""
	}
}

func attachedWord(n *fleetv1.GuidedNote) string {
	if n.GetFileSha256() == "" {
		return ""
	}
	return "file " + n.GetFileName() + " (" + number(uint32(n.GetFileSize())) + " B)"
}

// printGuidedPage writes a task for a clipboard.
func printGuidedPage(a *app, t *fleetv1.GuidedTask) {
	a.out.Line("%s  %s", t.GetId(), t.GetTitle())
	a.out.Line("%s", strings.Repeat("=", 72))
	a.out.Line("About: %s, site %s    Priority: %s", aboutWord(t), t.GetSite(), priorityWord(t))
	due := "-"
	if t.GetDue() != nil {
		due = output.UTC(t.GetDue())
	}
	a.out.Line("For: %s    Due: %s", orWord(t.GetAssignee(), "-"), due)
	a.out.Line("Why: %s", orWord(t.GetReason(), "-"))
	a.out.Line("")
	for _, s := range t.GetSteps() {
		a.out.Line("%s %d. %s", tickWord(s), s.GetNumber(), joinWords(" ", s.GetText(), map[bool]string{true: "(if need be)"}[s.GetOptional()]))
		a.out.Line("       time ____________  initials ______")
	}
	a.out.Line("")
	a.out.Line("It helped when: %s", orWord(t.GetVerify(), "-"))
	if t.GetNameWanted() != "" {
		a.out.Line("Name of %s: ______________________", t.GetNameWanted())
	}
	a.out.Line("( ) fixed   ( ) not fixed   ( ) not needed     name ______________________")
}

// completeGuided offers the ids of open tasks.
func (a *app) completeGuided(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.ask(cmd.Context(), typed, func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.GuidedTasks(ctx, &fleetv1.ListGuidedTasksRequest{})
		return namesOf(resp.GetTasks(), (*fleetv1.GuidedTask).GetId), err
	})
}
