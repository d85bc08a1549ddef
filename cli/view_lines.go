package cli

import (
	"time"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// lineView prints a line for each change of a task's state, for pipes and logs.
type lineView struct {
	printer *output.Printer
	now     func() time.Time
}

func (v *lineView) changed(b *board, changes []change) {
	dryRun := b.job.GetDryRun()
	for _, c := range changes {
		if after := stateLine(c.after, dryRun); c.before == nil || stateLine(c.before, dryRun) != after {
			v.printer.Line("%s  %s  %s", v.stamp(), c.after.GetTerminalName(), v.printer.Paint(taskStyle(c.after), after))
		}
	}
}

func (v *lineView) lost(err error) {
	v.printer.Line("%s  connection to the server lost (%s); the job goes on, trying again", v.stamp(), err)
}

func (*lineView) tick(*board) {}

func (*lineView) end() {}

func (v *lineView) stamp() string { return v.now().UTC().Format(time.RFC3339) }

// stateLine writes a task's state without its progress, which changes often.
func stateLine(t *fleetv1.Task, dryRun bool) string {
	switch t.GetState() {
	case fleetv1.TaskState_TASK_STATE_WAITING:
		return "waiting: " + waitWord(t.GetWait())
	case fleetv1.TaskState_TASK_STATE_RUNNING:
		if !t.GetOnline() {
			return "running, but the connection to it is lost"
		}
		return "running"
	case fleetv1.TaskState_TASK_STATE_DONE:
		return doneLine(t, dryRun)
	default:
		return "preparing"
	}
}

func doneLine(t *fleetv1.Task, dryRun bool) string {
	return joinWords(": ", outcomeWord(t.GetStatus(), dryRun), joinWords("; ", t.GetResult().GetReason(), didWord(t.GetResult())))
}

// waitWord writes why a task waits: "offline (last seen 2026-11-24T07:10:03Z)".
func waitWord(w *fleetv1.Wait) string {
	text := word(w.GetReason())
	if text == "" {
		text = "no reason given"
	}
	if w.GetDetail() != "" {
		text += " (" + w.GetDetail() + ")"
	}
	return text
}

func taskStyle(t *fleetv1.Task) output.Style {
	switch t.GetState() {
	case fleetv1.TaskState_TASK_STATE_DONE:
		return statusStyle(t.GetStatus())
	case fleetv1.TaskState_TASK_STATE_RUNNING:
		return output.Active
	default:
		return output.Faint
	}
}
