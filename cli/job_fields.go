package cli

import (
	"strings"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func printJob(a *app, j *fleetv1.Job) {
	fields := []output.Field{
		output.Text("Job", j.GetId()),
		output.Text("Action", joinWords(" ", actionOf(j), j.GetActionVersion())),
		output.Text("Parameters", pairs(j.GetParams())),
		output.Text("Selection", selectionWord(j.GetSelection())),
		output.Text("Sites", list(j.GetSites())),
		output.Text("Asked for by", j.GetRequester()),
		output.Text("Reason", j.GetReason()),
		output.Text("Created", output.UTC(j.GetCreated())),
		output.Text("Starts nothing after", output.UTC(j.GetExpires())),
		output.Text("Finished", output.UTC(j.GetFinished())),
		{Name: "State", Value: a.out.Paint(jobStyle(j), jobWord(j))},
		output.Text("Targets", countsWord(j)),
	}
	a.out.Fields(0, append(fields, jobMore(j)...)...)
	for _, line := range approvalLines(j.GetApproval()) {
		a.out.Line("  %s", line)
	}
	a.out.Line("")
}

// jobMore is what only some jobs have: how they spread, what holds them up, who approved them.
func jobMore(j *fleetv1.Job) []output.Field {
	p, s := j.GetProgress(), j.GetApproval()
	var fields []output.Field
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, output.Text(name, value))
		}
	}
	add("Starts nothing before", output.UTC(j.GetNotBefore()))
	add("Rollout", rolloutWord(j.GetRollout(), p))
	if j.GetState() == fleetv1.JobState_JOB_STATE_ACTIVE && missing(j) == 0 {
		add("Now", joinWords("; ", waveWord(p), failuresWord(p), soakWord(p)))
	}
	add("Paused", strings.TrimPrefix(pauseWord(j), "PAUSED "))
	add("Was paused", pausesWord(j.GetPastPauses()))
	if j.GetInUse() == fleetv1.InUse_IN_USE_PROCEED {
		add("In use", "does not wait where a person is at work")
	}
	add("Break glass", j.GetBreakGlass())
	add("Tries again", j.GetRetryOf())
	add("Schedule", j.GetSchedule())
	if j.GetAttempt() > 1 {
		add("Attempt", number(j.GetAttempt()))
	}
	if j.GetCancelled() {
		add("Cancelled", joinWords(": ", "by "+j.GetCancelledBy(), j.GetCancelReason()))
	}
	if s.GetNeeded() > 0 {
		add("Approvals", number(uint32(len(counting(s))))+" of "+number(s.GetNeeded())+" ("+joinWords("; ", s.GetReasons()...)+")")
		add("Digest", s.GetDigest())
		add("Held up", awaitedWord(j))
	}
	return fields
}
