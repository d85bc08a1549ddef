package cli

import (
	"strings"

	"github.com/bandfleet/bandfleet/cli/output"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// printTask prints all that is known of one task.
func printTask(a *app, t *fleetv1.Task, dryRun bool) {
	r := t.GetResult()
	a.out.Fields(0,
		output.Text("Terminal", t.GetTerminalName()+" ("+t.GetTerminalId()+") at "+t.GetSite()),
		output.Text("Job", t.GetJobId()),
		output.Field{Name: "Status", Value: a.out.Paint(taskStyle(t), taskWord(t, dryRun))},
		output.Text("What", whatWord(t)),
		output.Text("Next", r.GetNextStep()),
		output.Text("Attempt", attemptWord(t)),
		output.Text("Permitted", output.UTC(t.GetPermitted())),
		output.Text("Started", output.UTC(startOf(t))),
		output.Text("Finished", output.UTC(endOf(t))),
		output.Text("Took", tookWord(t)),
		output.Text("Begun", beginsWord(r)),
		output.Text("Plugin", joinWords(" ", r.GetPlugin(), r.GetPluginVersion(), short(r.GetPluginSha256()))),
	)
	printPeopleOf(a, t)
	printPlan(a, r.GetPlan())
	printEffects(a, r.GetEffects())
	printChecks(a, r)
	printFound(a, r)
	printUndone(a, r.GetUndone())
	printOutput(a, r)
	printArtifacts(a, t)
}

// printArtifacts names what the task has brought, or will bring.
func printArtifacts(a *app, t *fleetv1.Task) {
	brought := t.GetResult().GetArtifacts()
	if len(brought) == 0 {
		return
	}
	a.out.Line("Artefacts (see `fleetctl artifact list --job %s --terminal %s`):", t.GetJobId(), t.GetTerminalName())
	for _, ref := range brought {
		line := kindWord(ref.GetKind(), ref.GetSubject()) + ", " + bytesWord(ref.GetSize()) + ", SHA-256 " + ref.GetSha256()
		if ref.GetTruncated() {
			line += ", the rest was cut"
		}
		a.out.Line("  %s", line)
	}
}

// attempts is how many attempts of a task may have started. The server numbers the one that it is going to permit, too.
func attempts(t *fleetv1.Task) uint32 {
	if t.GetPermitted() == nil && startOf(t) == nil {
		return 0
	}
	return t.GetAttempt()
}

// attemptWord is the attempt of a task with its wave; "" when there was none.
func attemptWord(t *fleetv1.Task) string {
	if attempts(t) == 0 {
		return ""
	}
	return number(attempts(t)) + inWave(t)
}

// waveNumber is the wave in which a task was started; "" when it was not.
func waveNumber(t *fleetv1.Task) string {
	if t.GetWave() == 0 {
		return ""
	}
	return number(t.GetWave())
}

// printPeopleOf prints what a task asks of people, what they answered, and who was signed in.
func printPeopleOf(a *app, t *fleetv1.Task) {
	if t.GetQuestion() != nil {
		a.out.Line("%s", a.out.Paint(output.Doubt, questionWord(t)))
	}
	for _, answer := range t.GetAnswers() {
		a.out.Line("Answer: %s", answerWord(answer))
	}
	if who := sessionsWord(t.GetResult().GetUserSessions()); who != "" {
		a.out.Line("Signed in: %s", who)
	}
}

// answerWord writes an answer as a record: `yes by ada at 2026-11-24T08:00:05Z: it is on the charger`.
func answerWord(answer *fleetv1.Answer) string {
	text := "no"
	if answer.GetConfirmed() {
		text = "yes"
	}
	return joinWords(": ", text+" by "+answer.GetBy()+" at "+output.UTC(answer.GetTime()), answer.GetNote())
}

func beginsWord(r *actionv1.TaskResult) string {
	if r.GetRuns() <= 1 && !r.GetRecovered() {
		return ""
	}
	return joinWords("; ", output.Count(r.GetRuns(), "time"), recoveredWord(r))
}

func printPlan(a *app, plan *actionv1.Plan) {
	if plan == nil {
		return
	}
	a.out.Line("Plan:")
	for _, line := range planLines(plan, (*actionv1.PlannedEffect).GetBefore) {
		a.out.Line("  %s", line)
	}
}

func printEffects(a *app, effects []*actionv1.RecordedEffect) {
	if len(effects) == 0 {
		return
	}
	a.out.Line("Effects:")
	for _, e := range effects {
		took := output.Duration(e.GetFinished().AsTime().Sub(e.GetStarted().AsTime()))
		a.out.Line("  %s  %s, took %s", stamp(e.GetStarted().AsTime()), effectWord(e.GetEffect()), took)
		if !isErrand(e.GetEffect()) {
			a.out.Line("      before: %s", stateWord(e.GetBefore()))
		}
		a.out.Line("      after:  %s", stateWord(e.GetAfter()))
		if e.GetError() != "" {
			a.out.Line("      %s", a.out.Paint(output.Bad, "did not come about: "+e.GetError()))
		}
	}
}

// isErrand says whether an effect changes no state, so that there was none before: what it brought is all that there is to tell.
func isErrand(e *actionv1.Effect) bool {
	return e.GetConfirm() != nil || e.GetProgramRun() != nil || e.GetPeerProbe() != nil
}

func printChecks(a *app, r *actionv1.TaskResult) {
	if len(r.GetChecks()) > 0 {
		a.out.Line("Checks:")
	}
	for _, c := range r.GetChecks() {
		verdict := a.out.Paint(output.Good, "ok  ")
		if !c.GetOk() {
			verdict = a.out.Paint(output.Bad, "FAIL")
		}
		a.out.Line("  %s  %s: expected %s, observed %s", verdict, c.GetName(), c.GetExpected(), c.GetObserved())
	}
	for _, i := range r.GetInterruptions() {
		a.out.Line("Interruption: %s", i.GetService()+" "+downTime(i))
	}
	if len(r.GetEvidence()) > 0 {
		a.out.Line("Evidence:")
	}
	for _, e := range r.GetEvidence() {
		a.out.Line("  %s: %s", e.GetName(), e.GetValue())
	}
}

// printFound prints what a diagnosis found, all of it, and what will go back by itself, or has.
func printFound(a *app, r *actionv1.TaskResult) {
	if len(r.GetFindings()) > 0 {
		a.out.Line("Findings: %s", findingsWord(r.GetFindings()))
		printFindings(a.out, r.GetFindings(), true)
	}
	for _, l := range r.GetLeases() {
		label := "Changed for a time"
		if goesBack(l) {
			label = "Goes back by itself"
		}
		a.out.Line("%s: %s", label, leaseWord(l))
	}
}

func printUndone(a *app, undone []*actionv1.Undo) {
	if len(undone) > 0 {
		a.out.Line("Put back:")
	}
	for _, u := range undone {
		a.out.Line("  %s: %s", u.GetResource(), undoWord(u))
	}
}

// cutMark is how an output of which the beginning is left out begins; older agents cut it without a word.
const cutMark = "[cut here"

func printOutput(a *app, r *actionv1.TaskResult) {
	if r.GetOutput() == "" {
		return
	}
	a.out.Line("Output of the plugin:")
	if r.GetOutputTruncated() && !strings.HasPrefix(r.GetOutput(), cutMark) {
		a.out.Line("  (its beginning was cut)")
	}
	for line := range strings.Lines(r.GetOutput()) {
		a.out.Line("  | %s", strings.TrimRight(line, "\r\n"))
	}
}
