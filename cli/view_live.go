package cli

import (
	"slices"
	"time"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// liveRows is the most tasks that are drawn; the counts above them account for the rest.
const liveRows = 20

// liveNotes is the most notes that are drawn, so that many questions leave room for the tasks.
const liveNotes = 6

// liveView draws the job in place on a terminal.
type liveView struct {
	printer *output.Printer
	live    *output.Live
	now     func() time.Time
	away    error
}

// changed only notes that the server answers; drawing is left to tick, so that a thousand results do not draw a thousand times.
func (v *liveView) changed(*board, []change) { v.away = nil }

func (v *liveView) lost(err error) { v.away = err }

func (v *liveView) tick(b *board) { _ = v.live.Draw(v.lines(b)) }

func (v *liveView) end() { _ = v.live.Clear() }

func (v *liveView) lines(b *board) []output.Painted {
	lines := []output.Painted{v.headLine(b)}
	if v.away != nil {
		lines = append(lines, v.printer.Paint(output.Doubt, "connection to the server lost; the job goes on, trying again: "+v.away.Error()))
	}
	notes := b.notes()
	for _, n := range notes[:min(len(notes), liveNotes)] {
		lines = append(lines, v.printer.Paint(n.style, n.text))
	}
	if n := b.waits[fleetv1.WaitReason_WAIT_REASON_OFFLINE]; n > 0 {
		lines = append(lines, v.printer.Paint(output.Faint, number(uint32(n))+" offline, waited for until "+stampSeconds(b.job.GetExpires())+"; Ctrl-C ends the wait"))
	}
	tasks := b.ordered()
	slices.SortStableFunc(tasks, func(x, y *fleetv1.Task) int { return urgency(x) - urgency(y) })
	room := min(liveRows, max(v.live.Height()-len(lines)-1, 0))
	shown := tasks[:min(room, len(tasks))]
	width := nameWidth(shown)
	for _, t := range shown {
		lines = append(lines, v.taskLine(t, width, b.job.GetDryRun()))
	}
	if more := len(tasks) - len(shown); more > 0 {
		lines = append(lines, v.printer.Paint(output.Faint, "  and "+output.Count(more, "other")))
	}
	return lines
}

// headLine leaves out what is zero, so that it fits a narrow terminal.
func (v *liveView) headLine(b *board) output.Painted {
	c := b.counts()
	line := v.printer.Paint(output.Bold, b.job.GetId()+"  "+number(finished(c))+"/"+number(c.GetTotal())+" done")
	for _, part := range []struct {
		n     uint32
		word  string
		style output.Style
	}{
		{unsuccessful(c), "unsuccessful", output.Bad}, {c.GetRunning(), "running", output.Active}, {c.GetWaiting(), "waiting", output.Faint},
	} {
		if part.n > 0 {
			line += v.printer.Paint(part.style, "  "+number(part.n)+" "+part.word)
		}
	}
	return line
}

func (v *liveView) taskLine(t *fleetv1.Task, width int, dryRun bool) output.Painted {
	return v.printer.Paint(output.Plain, "  "+pad(output.Safe(t.GetTerminalName()), width)+"  ") + v.printer.Paint(taskStyle(t), v.stateText(t, dryRun))
}

// stateText is stateLine with progress and the time since the start.
func (v *liveView) stateText(t *fleetv1.Task, dryRun bool) string {
	text := stateLine(t, dryRun)
	if t.GetState() != fleetv1.TaskState_TASK_STATE_RUNNING {
		return text
	}
	if t.GetStarted() != nil {
		text += " " + output.Duration(max(v.now().Sub(t.GetStarted().AsTime()), 0).Truncate(time.Second))
	}
	if t.GetProgress() != "" {
		text += "  " + t.GetProgress()
	}
	return text
}

// urgency sorts what a person wants to see first: what runs, what went wrong, what waits, what is well.
func urgency(t *fleetv1.Task) int {
	switch {
	case t.GetState() == fleetv1.TaskState_TASK_STATE_RUNNING:
		return 0
	case t.GetState() == fleetv1.TaskState_TASK_STATE_DONE && !succeeded(t.GetStatus()):
		return 1
	case t.GetState() != fleetv1.TaskState_TASK_STATE_DONE:
		return 2
	default:
		return 3
	}
}
