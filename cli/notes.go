package cli

import (
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// note is something to know of a job as a whole, or a question of one of its tasks.
type note struct {
	// about is what it is about: of one thing only the newest note holds.
	about string
	text  string
	style output.Style
	// over is said when the note is gone; empty when its end is no news.
	over string
}

// notes is what to know of a job now, the gravest first.
func (b *board) notes() []note {
	j := b.job
	all := []note{
		{about: "pause", text: pauseWord(j), style: output.Doubt, over: "no longer paused"},
		{about: "approval", text: approvalWord(j), style: approvalStyle(j)},
	}
	switch start := b.startNote(); {
	case b.done() || missing(j) > 0:
	case start != "":
		all = append(all, note{about: "start", text: start, style: output.Faint})
	default:
		all = append(all,
			note{about: "wave", text: waveWord(j.GetProgress()), style: output.Faint},
			note{about: "soak", text: soakWord(j.GetProgress()), style: output.Active})
	}
	for _, t := range b.questions() {
		all = append(all, note{about: "question of " + t.GetTerminalId(), text: questionWord(t), style: output.Doubt})
	}
	var out []note
	for _, n := range all {
		if n.text != "" {
			out = append(out, n)
		}
	}
	return out
}

// startNote tells of a start that is still to come.
func (b *board) startNote() string {
	if b.waits[fleetv1.WaitReason_WAIT_REASON_NOT_BEFORE] == 0 {
		return ""
	}
	return startsWord(b.job.GetNotBefore())
}

// pauseWord says that a job is paused, why, and what to do; "" when it is not.
func pauseWord(j *fleetv1.Job) string {
	if j.GetPause() == nil || j.GetState() == fleetv1.JobState_JOB_STATE_DONE {
		return ""
	}
	return pausedBy(j.GetPause()) + "; nothing more starts until `fleetctl job resume " + j.GetId() + "`; `fleetctl job cancel " + j.GetId() + "` ends it"
}

// pausedBy writes who paused a job, and why.
func pausedBy(p *fleetv1.Pause) string {
	return joinWords(": ", "PAUSED by "+p.GetBy()+" at "+output.UTC(p.GetTime()), p.GetReason())
}

// questionWord writes what a task asks of a person and how it is answered.
func questionWord(t *fleetv1.Task) string {
	q := t.GetQuestion()
	return t.GetTerminalName() + " asks: " + q.GetPrompt() + " (`fleetctl job confirm " + t.GetJobId() + " " + pasteable(t) +
		"`, by " + output.UTC(q.GetDeadline()) + ")"
}
