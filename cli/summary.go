package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/cli/output"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// listedSuccesses is the most successes that are listed one by one. Everything else is always listed by name.
const listedSuccesses = 25

// printSummary accounts for every target: counts first, then the successes, then by name each target that has not succeeded.
func printSummary(a *app, b *board) {
	a.out.Line("")
	a.out.Line("%s  %s: %s", a.out.Paint(output.Bold, b.job.GetId()), actionOf(b.job), countsWord(b.job))
	for _, n := range b.notes() {
		if n.style == output.Doubt {
			a.out.Line("  %s", a.out.Paint(n.style, n.text))
		}
	}
	var good, bad, open []*fleetv1.Task
	for _, t := range b.ordered() {
		switch {
		case t.GetState() != fleetv1.TaskState_TASK_STATE_DONE:
			open = append(open, t)
		case succeeded(t.GetStatus()):
			good = append(good, t)
		default:
			bad = append(bad, t)
		}
	}
	width := nameWidth(b.ordered())
	printSuccesses(a, b.job, good, width)
	for _, t := range bad {
		printUnsuccessful(a.out, t, width)
	}
	printOpen(a, b, open, width)
	if hidden := int(b.counts().GetTotal()) - len(b.tasks); hidden > 0 {
		a.out.Line("  %s not listed: at sites that you may not see, or not heard of before the wait ended", output.Count(hidden, "target"))
	}
}

// printOpen names the targets without a result; many that wait for the same get one line, as on the way.
func printOpen(a *app, b *board, open []*fleetv1.Task, width int) {
	var order []string
	alike := make(map[string][]string)
	for _, t := range open {
		why := stateLine(t, b.job.GetDryRun())
		if alike[why] == nil {
			order = append(order, why)
		}
		alike[why] = append(alike[why], t.GetTerminalName())
	}
	for _, why := range order {
		names := alike[why]
		if len(names) > namedAlone {
			a.out.Line("  %s: %s", a.out.Paint(output.Doubt, output.Count(len(names), "target")+" NO RESULT YET: "+why), someNames(names))
			continue
		}
		for _, name := range names {
			a.out.Line("  %s  %s", output.Painted(pad(output.Safe(name), width)), a.out.Paint(output.Doubt, "NO RESULT YET: "+why))
		}
	}
}

func printSuccesses(a *app, job *fleetv1.Job, good []*fleetv1.Task, width int) {
	if len(good) > listedSuccesses {
		a.out.Line("  %s, not listed one by one%s", a.out.Paint(output.Good, output.Count(len(good), "target")+" "+succeededWord(job)), downRange(good))
		a.out.Line("    list them with `fleetctl job show %s`", job.GetId())
		return
	}
	for _, t := range good {
		a.out.Line("  %s  %s%s", output.Painted(pad(output.Safe(t.GetTerminalName()), width)),
			a.out.Paint(statusStyle(t.GetStatus()), statusWord(t.GetStatus(), job.GetDryRun())), detail(job, t.GetResult()))
		if next := t.GetResult().GetNextStep(); next != "" {
			a.out.Line("  %s  next: %s", output.Painted(pad("", width)), next)
		}
	}
}

// detail is what stands behind a success: what was done, or why nothing was.
func detail(job *fleetv1.Job, r *actionv1.TaskResult) string {
	if job.GetDryRun() {
		return ""
	}
	if text := joinWords("; ", r.GetReason(), didWord(r), recoveredWord(r)); text != "" {
		return "  " + text
	}
	return ""
}

func printUnsuccessful(p *output.Printer, t *fleetv1.Task, width int) {
	r := t.GetResult()
	p.Line("  %s  %s: %s", output.Painted(pad(output.Safe(t.GetTerminalName()), width)), p.Paint(statusStyle(t.GetStatus()), statusWord(t.GetStatus(), false)), headReason(r))
	for _, line := range failureLines(t) {
		p.Line("  %s  %s", output.Painted(pad("", width)), line)
	}
}

// failureLines is what stands under a target that has not succeeded: the checks that failed, what was done and put back, and what
// to do next.
func failureLines(t *fleetv1.Task) []string {
	r := t.GetResult()
	var lines []string
	for _, c := range r.GetChecks() {
		if !c.GetOk() {
			lines = append(lines, fmt.Sprintf("check %q: expected %s, observed %s", c.GetName(), c.GetExpected(), c.GetObserved()))
		}
	}
	if did := joinWords("; ", didWord(r), recoveredWord(r)); did != "" {
		lines = append(lines, "what was done: "+did)
	}
	for _, u := range r.GetUndone() {
		line := "put back " + u.GetResource() + ": " + undoWord(u)
		if u.GetReason() != "" && strings.Contains(r.GetReason(), u.GetReason()) {
			line = "put back " + u.GetResource() + ": " + undoOutcome(u.GetOutcome()) + " (for the same reason)"
		}
		lines = append(lines, line)
	}
	if next := nextStep(t); next != "" {
		lines = append(lines, "next: "+next)
	}
	return lines
}

// headReason is the reason without the check that failed: the line below tells of it.
func headReason(r *actionv1.TaskResult) string {
	reason := r.GetReason()
	for _, c := range r.GetChecks() {
		if !c.GetOk() {
			reason, _, _ = strings.Cut(reason, ": "+c.GetName()+": ")
		}
	}
	return cmp.Or(reason, "no reason was given")
}

// nextStep says what a person does about an unsuccessful target when the agent did not say it.
func nextStep(t *fleetv1.Task) string {
	if next := t.GetResult().GetNextStep(); next != "" {
		return next
	}
	switch t.GetStatus() {
	case actionv1.TaskStatus_TASK_STATUS_EXPIRED:
		return "find out why it was not reached in time, then ask again"
	case actionv1.TaskStatus_TASK_STATUS_CANCELLED:
		return ""
	case actionv1.TaskStatus_TASK_STATUS_UNKNOWN:
		return "look at the machine itself before anything else is done to it"
	default:
		return fmt.Sprintf("see `fleetctl job show %s %s`", t.GetJobId(), pasteable(t))
	}
}

func undoWord(u *actionv1.Undo) string {
	return joinWords(": ", undoOutcome(u.GetOutcome()), u.GetReason())
}

func undoOutcome(o actionv1.UndoOutcome) string {
	switch o {
	case actionv1.UndoOutcome_UNDO_OUTCOME_CONFLICT:
		return "left alone, somebody else changed it meanwhile"
	case actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION:
		return "not yet, the agent keeps trying"
	default:
		return strings.ReplaceAll(word(o), "-", " ")
	}
}

func recoveredWord(r *actionv1.TaskResult) string {
	if !r.GetRecovered() {
		return ""
	}
	return "the agent was restarted in between"
}

// succeededWord is what became of the targets that a job counts as succeeded.
func succeededWord(j *fleetv1.Job) string {
	return outcomeWord(actionv1.TaskStatus_TASK_STATUS_SUCCEEDED, j.GetDryRun())
}

// countsWord writes a job's counts without the zeros: "3 targets: 2 succeeded, 1 failed".
func countsWord(j *fleetv1.Job) string {
	c := j.GetCounts()
	var parts []string
	for _, p := range []struct {
		n    uint32
		word string
	}{
		{c.GetSucceeded(), succeededWord(j)}, {c.GetNoChange(), "needed no change"}, {c.GetFailed(), "failed"},
		{c.GetRolledBack(), "rolled back"}, {c.GetRollbackFailed(), "rollback failed"}, {c.GetConflict(), "conflict"},
		{c.GetUnknown(), "unknown"}, {c.GetRefused(), "refused"}, {c.GetExpired(), "expired"}, {c.GetCancelled(), "cancelled"},
		{c.GetRunning(), "running"}, {c.GetWaiting(), "waiting"},
	} {
		if p.n > 0 {
			parts = append(parts, number(p.n)+" "+p.word)
		}
	}
	return joinWords(": ", output.Count(c.GetTotal(), "target"), strings.Join(parts, ", "))
}

// downRange says how long services were down over many targets.
func downRange(tasks []*fleetv1.Task) string {
	var downs []time.Duration
	for _, t := range tasks {
		for _, i := range t.GetResult().GetInterruptions() {
			downs = append(downs, i.GetDuration().AsDuration())
		}
	}
	if len(downs) == 0 {
		return ""
	}
	slices.Sort(downs)
	return fmt.Sprintf("; down %s to %s, median %s", output.Duration(downs[0]), output.Duration(downs[len(downs)-1]), output.Duration(downs[len(downs)/2]))
}

// joinWords joins what is not empty.
func joinWords(separator string, words ...string) string {
	var there []string
	for _, w := range words {
		if w != "" {
			there = append(there, w)
		}
	}
	return strings.Join(there, separator)
}
