package cli

import (
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// printStory tells how it came that a task has or has not started.
func printStory(a *app, b *board) error {
	if a.format == output.JSON || a.format == output.YAML {
		return a.out.Message(a.format, b.document())
	}
	for _, t := range b.ordered() {
		if a.format == output.Name {
			a.out.Line("%s", t.GetTerminalName())
			continue
		}
		a.out.Line("%s (%s) at %s, %s of job %s, task %d of %d:", a.out.Paint(output.Bold, t.GetTerminalName()), t.GetTerminalId(), t.GetSite(),
			actionOf(b.job), b.job.GetId(), t.GetIndex()+1, b.counts().GetTotal())
		for _, line := range storyLines(a, b, t) {
			a.out.Line("  %s", line)
		}
	}
	return nil
}

// storyLines are what happened to a task, in order, and what it waits for.
func storyLines(a *app, b *board, t *fleetv1.Task) []string {
	j := b.job
	lines := []string{output.UTC(j.GetCreated()) + "  asked for by " + joinWords(": ", j.GetRequester(), j.GetReason())}
	if j.GetNotBefore() != nil {
		lines = append(lines, output.UTC(j.GetNotBefore())+"  the earliest start")
	}
	lines = append(lines, approvalLines(j.GetApproval())...)
	if t.GetPermitted() != nil {
		lines = append(lines, output.UTC(t.GetPermitted())+"  permitted"+inWave(t))
	}
	if t.GetStarted() != nil {
		lines = append(lines, output.UTC(t.GetStarted())+"  started, attempt "+number(t.GetAttempt()))
	}
	for _, answer := range t.GetAnswers() {
		lines = append(lines, "answered "+answerWord(answer))
	}
	return append(lines, nowLines(a, b, t)...)
}

func inWave(t *fleetv1.Task) string {
	if t.GetWave() == 0 {
		return ""
	}
	return " in wave " + number(t.GetWave())
}

// nowLines say how a task is now, and what is next.
func nowLines(a *app, b *board, t *fleetv1.Task) []string {
	j := b.job
	switch t.GetState() {
	case fleetv1.TaskState_TASK_STATE_DONE:
		lines := []string{output.UTC(t.GetFinished()) + "  done  " + joinWords(": ", statusWord(t.GetStatus(), j.GetDryRun()), whatWord(t))}
		if next := t.GetResult().GetNextStep(); next != "" {
			lines = append(lines, "next: "+next)
		}
		return lines
	case fleetv1.TaskState_TASK_STATE_RUNNING:
		lines := []string{"now  " + joinWords(": ", stateLine(t, false), t.GetProgress())}
		if t.GetQuestion() != nil {
			lines = append(lines, questionWord(t))
		}
		return lines
	default:
		return waitLines(a, b, t)
	}
}

// waitLines say what a task waits for, with what holds the whole job up, and when its time is over.
func waitLines(a *app, b *board, t *fleetv1.Task) []string {
	lines := []string{"now  waiting: " + reasonWord(t.GetWait())}
	if t.GetWait().GetDetail() != "" {
		lines = append(lines, "blocked by: "+t.GetWait().GetDetail())
	}
	if why := whyApprovals(b.job); why != "" {
		lines = append(lines, why)
	}
	lines = append(lines, whenWord(a, t.GetWait()))
	for _, n := range b.notes() {
		lines = append(lines, n.text)
	}
	return append(lines, "what has not started by "+output.UTC(b.job.GetExpires())+" is EXPIRED")
}
