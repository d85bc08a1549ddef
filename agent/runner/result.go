package runner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Bounds of a result's parts, in bytes and entries. Together with those of a plan they keep a result below the 4 MiB that
// one message may have.
const (
	maxName     = 256
	maxText     = 2 << 10
	maxValue    = 4 << 10
	maxEvidence = 64
	maxFindings = 256
	maxChecks   = 64
	maxOutput   = 64 << 10
)

// collector gathers what a result is made of while a task runs.
type collector struct {
	checks   []*actionv1.Check
	evidence []*actionv1.Evidence
	dropped  int
	// users are those who were signed in when the run was planned.
	users  []*actionv1.UserSession
	undone []*actionv1.Undo
	// down are the moments at which a service was found not to run although nothing was being done to it.
	down      []change
	text      string
	truncated bool
	findings  []*actionv1.Finding
	// certificates is the last report.
	certificates *actionv1.CertificateReport
	// artifacts are the outputs that are kept whole, and are brought to the server on their own. What effects have kept is in their records.
	artifacts []*actionv1.ArtifactReference
	// recovered is true when an earlier process had started the task.
	recovered bool
}

// saw keeps a piece of evidence, or counts what is too much.
func (c *collector) saw(name, value string) {
	if len(c.evidence) == maxEvidence {
		c.dropped++
		return
	}
	c.evidence = append(c.evidence, &actionv1.Evidence{Name: clip(name, maxName), Value: clip(value, maxValue)})
}

// found keeps a finding, or counts what is too much.
func (c *collector) found(f *actionv1.Finding) {
	if len(c.findings) == maxFindings {
		c.dropped++
		return
	}
	c.findings = append(c.findings, &actionv1.Finding{
		Rule: clip(f.GetRule(), maxName), Level: f.GetLevel(), Subject: clip(f.GetSubject(), maxName),
		Value: clip(f.GetValue(), maxValue), Expected: clip(f.GetExpected(), maxValue), Message: clip(f.GetMessage(), maxText),
	})
}

// foundDown keeps the moment at which a service was found not to run.
func (c *collector) foundDown(service string) {
	if len(c.down) < maxChecks {
		c.down = append(c.down, change{service: service, at: time.Now()})
	}
}

// checked keeps the checks of the latest verification.
func (c *collector) checked(checks []*actionv1.Check) {
	c.checks = nil
	for _, check := range checks[:min(len(checks), maxChecks)] {
		c.checks = append(c.checks, &actionv1.Check{
			Name: clip(check.GetName(), maxName), Expected: clip(check.GetExpected(), maxText), Observed: clip(check.GetObserved(), maxText), Ok: check.GetOk(),
		})
	}
	if more := len(checks) - maxChecks; more > 0 {
		c.saw("checks", fmt.Sprintf("%d more checks are left out", more))
	}
}

// output keeps the end of what the plugin wrote.
func (c *collector) output(text string, truncated bool) {
	valid := strings.ToValidUTF8(text[max(0, len(text)-maxOutput):], "\uFFFD")
	c.text = lastOf(valid, maxOutput)
	c.truncated = truncated || len(text) > maxOutput || len(c.text) < len(valid)
}

// putBack keeps what was done about a resource. Finding later that nothing was needed does not hide that something was done.
func (c *collector) putBack(u *actionv1.Undo) {
	i := slices.IndexFunc(c.undone, func(old *actionv1.Undo) bool { return old.GetResource() == u.GetResource() })
	switch {
	case i < 0:
		c.undone = append(c.undone, u)
	case u.GetOutcome() == actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED && c.undone[i].GetOutcome() == actionv1.UndoOutcome_UNDO_OUTCOME_DONE:
	default:
		c.undone[i] = u
	}
}

// failedChecks names the checks that did not hold ("running: expected Running, observed Stopped").
func failedChecks(checks []*actionv1.Check) string {
	var bad []string
	for _, c := range checks {
		if !c.GetOk() {
			bad = append(bad, fmt.Sprintf("%s: expected %s, observed %s", c.GetName(), c.GetExpected(), c.GetObserved()))
		}
	}
	return clip(strings.Join(bad, "; "), maxText)
}

// unstarted is the result of a task that did nothing.
func unstarted(status actionv1.TaskStatus, reason, nextStep string) *actionv1.TaskResult {
	return &actionv1.TaskResult{Status: status, Reason: clip(reason, maxText), NextStep: clip(nextStep, maxText), Finished: stamp(time.Now())}
}

// finish makes the result of a course whose phases ended with out, or with fail and the undo after it.
func (c *course) finish(out outcome, fail *failure) *actionv1.TaskResult {
	if fail != nil {
		out = c.failedOutcome(fail)
	}
	now := time.Now()
	if c.result.dropped > 0 {
		c.result.evidence = append(c.result.evidence, &actionv1.Evidence{Name: "evidence", Value: fmt.Sprintf("%d more pieces are left out", c.result.dropped)})
	}
	res := &actionv1.TaskResult{
		Status: out.status, Reason: clip(out.reason, maxText), NextStep: clip(out.nextStep, maxText),
		Plan: c.rec.GetPlan(), Undone: slices.Clone(c.result.undone), Checks: c.result.checks, Evidence: c.result.evidence,
		Started: c.rec.GetStarted(), Finished: stamp(now),
		Output: c.result.text, OutputTruncated: c.result.truncated, Artifacts: slices.Concat(keptBy(c.records()), c.result.artifacts),
		Findings: c.result.findings, Certificates: c.result.certificates,
		Runs: c.rec.GetRuns(), Recovered: c.result.recovered, UserSessions: c.result.users,
	}
	res.Effects = c.records()
	res.Interruptions = interruptions(res.Effects, res.Undone, c.result.down, now)
	if c.plugin != nil {
		res.Plugin, res.PluginVersion, res.PluginSha256 = c.plugin.Name(), c.plugin.Version(), c.plugin.SHA256()
	}
	fit(res, maxResult)
	return res
}

// keptBy returns what effects have kept for the server. The records tell it, so that a result after a crash names it, too.
func keptBy(records []*actionv1.RecordedEffect) (kept []*actionv1.ArtifactReference) {
	for _, e := range records {
		kept = append(kept, e.GetAfter().GetProgram().GetArtifacts()...)
		if ref := e.GetAfter().GetCollection().GetArtifact(); ref != nil {
			kept = append(kept, ref)
		}
	}
	return kept
}

// failedOutcome says how a run failed, from what undoing it came to.
func (c *course) failedOutcome(f *failure) outcome {
	out := outcome{reason: f.reason, nextStep: f.nextStep, status: undoneStatus(c.records(), c.result.undone, f.unknown)}
	if f.refused && len(c.effects) == 0 {
		out.status = actionv1.TaskStatus_TASK_STATUS_REFUSED
	}
	switch out.status {
	case actionv1.TaskStatus_TASK_STATUS_ROLLBACK_FAILED:
		out.nextStep = joinSteps(notPutBack(c.result.undone), out.nextStep)
	case actionv1.TaskStatus_TASK_STATUS_CONFLICT:
		out.nextStep = joinSteps("find out who changed it meanwhile; it was left alone", out.nextStep)
	case actionv1.TaskStatus_TASK_STATUS_UNKNOWN:
		out.nextStep = cmp.Or(out.nextStep, "look at the machine, then decide whether to ask for the job again")
	}
	return out
}

// undoneStatus is the status of a run that failed. ROLLED_BACK is said only when something was changed and everything that
// was is exactly as before.
func undoneStatus(effects []*actionv1.RecordedEffect, undone []*actionv1.Undo, unknown bool) actionv1.TaskStatus {
	has := func(outcomes ...actionv1.UndoOutcome) bool {
		return slices.ContainsFunc(undone, func(u *actionv1.Undo) bool { return slices.Contains(outcomes, u.GetOutcome()) })
	}
	switch {
	case has(actionv1.UndoOutcome_UNDO_OUTCOME_FAILED, actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION):
		return actionv1.TaskStatus_TASK_STATUS_ROLLBACK_FAILED
	case unknown:
		return actionv1.TaskStatus_TASK_STATUS_UNKNOWN
	case has(actionv1.UndoOutcome_UNDO_OUTCOME_CONFLICT):
		return actionv1.TaskStatus_TASK_STATUS_CONFLICT
	case allExact(effects):
		return actionv1.TaskStatus_TASK_STATUS_ROLLED_BACK
	}
	return actionv1.TaskStatus_TASK_STATUS_FAILED
}

// allExact says whether something was changed and every change has an exact inverse.
func allExact(effects []*actionv1.RecordedEffect) bool {
	changed := 0
	for _, e := range effects {
		if !e.GetChanged() {
			continue
		}
		if e.GetInverse() != actionv1.Inverse_INVERSE_EXACT {
			return false
		}
		changed++
	}
	return changed > 0
}

// notPutBack says what became of the resources that could not be put back.
func notPutBack(undone []*actionv1.Undo) string {
	var steps []string
	for _, u := range undone {
		switch u.GetOutcome() {
		case actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION:
			steps = append(steps, keepsTrying(u))
		case actionv1.UndoOutcome_UNDO_OUTCOME_FAILED:
			steps = append(steps, u.GetResource()+" could not be put back: look at the machine now")
		}
	}
	return strings.Join(steps, "; ")
}

func keepsTrying(u *actionv1.Undo) string {
	if strings.HasPrefix(u.GetResource(), resourceService) {
		return u.GetResource() + " is not running: the agent keeps trying to start it; look at the machine if it does not come back"
	}
	return u.GetResource() + " is not as before: the agent keeps trying to put it back; look at the machine if that does not help"
}

func joinSteps(steps ...string) string {
	return strings.Join(slices.DeleteFunc(steps, func(s string) bool { return s == "" }), "; ")
}

// clip makes valid UTF-8 of at most limit bytes. A cut is marked.
func clip(s string, limit int) string {
	const mark = "…"
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	cut := limit - len(mark)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + mark
}

func stamp(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }

func reasonOf(f *failure) string {
	if f == nil {
		return ""
	}
	return f.reason
}

// statusName is a service status as people say it ("running").
func statusName(s actionv1.ServiceStatus) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "SERVICE_STATUS_"))
}
