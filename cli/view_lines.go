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
	// lostNow is set from a broken connection until the next message.
	lostNow bool
	// note is the last that was printed of what is waited for.
	note string
}

func (v *lineView) changed(b *board, changes []change) {
	dryRun := b.job.GetDryRun()
	if v.lostNow {
		v.lostNow = false
		v.printer.Line("%s  the server answers again", v.stamp())
	}
	for _, c := range changes {
		if waitsItsTurn(c.after) {
			continue
		}
		if after := stateLine(c.after, dryRun); c.before == nil || stateLine(c.before, dryRun) != after {
			v.printer.Line("%s  %s  %s", v.stamp(), c.after.GetTerminalName(), v.printer.Paint(taskStyle(c.after), after))
		}
	}
	v.explainWait(b)
}

// explainWait says, once there is nothing else to hear of, that offline terminals are waited for and until when.
func (v *lineView) explainWait(b *board) {
	note := offlineNote(b)
	if note != "" && note != v.note && !b.done() && b.onlyOffline() {
		v.printer.Line("%s  %s; Ctrl-C ends only the wait", v.stamp(), note)
		v.note = note
	}
}

// waitsItsTurn tells whether a task waits for nothing but the job's own pace, which is no news.
func waitsItsTurn(t *fleetv1.Task) bool {
	if t.GetState() != fleetv1.TaskState_TASK_STATE_WAITING {
		return false
	}
	reason := t.GetWait().GetReason()
	return reason == fleetv1.WaitReason_WAIT_REASON_SLOT || reason == fleetv1.WaitReason_WAIT_REASON_WAVE
}

// offlineNote says that offline terminals are waited for, which, and until when; empty when there are none.
func offlineNote(b *board) string {
	names := b.offline()
	if len(names) == 0 {
		return ""
	}
	return "waiting for " + output.Count(len(names), "offline terminal") + " until " + output.UTC(b.job.GetExpires()) + ": " + someNames(names)
}

func (v *lineView) lost(err error) {
	v.lostNow = true
	v.printer.Line("%s  connection to the server lost (%s); the job goes on; trying until the server answers", v.stamp(), err)
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
	return joinWords(": ", outcomeWord(t.GetStatus(), dryRun), briefWord(t, dryRun))
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
