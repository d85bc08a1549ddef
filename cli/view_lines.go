package cli

import (
	"cmp"
	"maps"
	"slices"
	"strings"
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
	// told holds the notes of the job that were printed, by what they are about.
	told map[string]note
}

// namedAlone is the most terminals that get a line each when they begin to wait for the same.
const namedAlone = 5

func (v *lineView) changed(b *board, changes []change) {
	dryRun := b.job.GetDryRun()
	if v.lostNow {
		v.lostNow = false
		v.printer.Line("%s  the server answers again", v.stamp())
	}
	waiting := make(map[string][]string)
	for _, c := range changes {
		if waitsItsTurn(c.after) || onlyPermitted(c.after) {
			continue
		}
		after := stateLine(c.after, dryRun)
		switch {
		case c.before != nil && stateLine(c.before, dryRun) == after:
		case c.after.GetState() == fleetv1.TaskState_TASK_STATE_WAITING:
			waiting[after] = append(waiting[after], c.after.GetTerminalName())
		default:
			v.printer.Line("%s  %s  %s", v.stamp(), c.after.GetTerminalName(), v.printer.Paint(taskStyle(c.after), after))
		}
	}
	v.tellWaits(waiting)
	v.tellNotes(b)
	v.explainWait(b)
}

// tellWaits prints who begins to wait for what; many that wait for the same get one line.
func (v *lineView) tellWaits(waiting map[string][]string) {
	for _, why := range slices.Sorted(maps.Keys(waiting)) {
		names := waiting[why]
		if len(names) > namedAlone {
			names = []string{output.Count(len(names), "terminal") + " (" + someNames(names) + ")"}
		}
		for _, name := range names {
			v.printer.Line("%s  %s  %s", v.stamp(), name, v.printer.Paint(output.Faint, why))
		}
	}
}

// tellNotes prints each note of the job once, and that one is over.
func (v *lineView) tellNotes(b *board) {
	now := make(map[string]note)
	for _, n := range b.notes() {
		now[n.about] = n
		if v.told[n.about].text != n.text {
			v.printer.Line("%s  %s  %s", v.stamp(), b.job.GetId(), v.printer.Paint(n.style, n.text))
		}
	}
	for _, about := range slices.Sorted(maps.Keys(v.told)) {
		if _, still := now[about]; !still && !b.done() && v.told[about].over != "" {
			v.printer.Line("%s  %s  %s", v.stamp(), b.job.GetId(), v.told[about].over)
		}
	}
	v.told = now
}

// explainWait says, once there is nothing else to hear of, that offline terminals are waited for and until when.
func (v *lineView) explainWait(b *board) {
	if b.done() || !b.onlyOffline() || b.job.GetPause() != nil || missing(b.job) > 0 {
		return
	}
	if note := offlineNote(b); note != v.note {
		v.printer.Line("%s  %s; Ctrl-C ends only the wait", v.stamp(), note)
		v.note = note
	}
}

// waitsItsTurn tells whether a task waits for nothing of its own, which is no news.
func waitsItsTurn(t *fleetv1.Task) bool {
	if t.GetState() != fleetv1.TaskState_TASK_STATE_WAITING {
		return false
	}
	return ownPace(t.GetWait().GetReason())
}

// onlyPermitted tells whether a task may start and its agent has not said that it did, nor why not: it does one of them at once, or,
// an agent of the first release, within half a minute.
func onlyPermitted(t *fleetv1.Task) bool {
	return t.GetState() == fleetv1.TaskState_TASK_STATE_RUNNING && t.GetOnline() && t.GetStarted() == nil
}

// ownPace tells whether a reason to wait is that of the whole job, of which its notes tell, or its pace.
func ownPace(r fleetv1.WaitReason) bool {
	switch r {
	case fleetv1.WaitReason_WAIT_REASON_SLOT, fleetv1.WaitReason_WAIT_REASON_WAVE, fleetv1.WaitReason_WAIT_REASON_PAUSED,
		fleetv1.WaitReason_WAIT_REASON_APPROVAL, fleetv1.WaitReason_WAIT_REASON_NOT_BEFORE, fleetv1.WaitReason_WAIT_REASON_ADMISSION:
		return true
	default:
		return false
	}
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
		switch {
		case !t.GetOnline():
			return "running, but the connection to it is lost"
		case onlyPermitted(t):
			return "may start, has not started yet"
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

// waitWord writes why a task waits: "offline (last seen 2026-11-24T07:10:03Z)". A detail that says the reason itself stands alone.
func waitWord(w *fleetv1.Wait) string {
	reason, detail := cmp.Or(word(w.GetReason()), "no reason given"), w.GetDetail()
	switch {
	case detail == "":
		return reason
	case strings.HasPrefix(detail, reason):
		return detail
	default:
		return reason + " (" + detail + ")"
	}
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
