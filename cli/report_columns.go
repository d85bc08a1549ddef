package cli

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/cli/output"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// jobFact is a line of a report's head.
type jobFact struct{ Name, Value string }

// facts is a report's head: all of the job itself.
func (r *report) facts() []jobFact {
	j := r.job
	return []jobFact{
		{"job", j.GetId()},
		{"action", joinWords(" ", actionOf(j), j.GetActionVersion())},
		{"parameters", pairs(j.GetParams())},
		{"selection", selectionWord(j.GetSelection())},
		{"sites", list(j.GetSites())},
		{"requested_by", j.GetRequester()},
		{"request_reason", j.GetReason()},
		{"job_state", jobWord(j)},
		{"created", output.UTC(j.GetCreated())},
		{"not_before", output.UTC(j.GetNotBefore())},
		{"expires", output.UTC(j.GetExpires())},
		{"job_finished", output.UTC(j.GetFinished())},
		{"rollout", rolloutWord(j.GetRollout(), j.GetProgress())},
		{"in_use", word(j.GetInUse())},
		{"break_glass", j.GetBreakGlass()},
		{"pauses", pauseRecord(j)},
		{"cancelled", cancelRecord(j)},
		{"approvals_needed", number(j.GetApproval().GetNeeded())},
		{"approvals", strings.Join(approvalLines(j.GetApproval()), "; ")},
		{"approved_digest", j.GetApproval().GetDigest()},
		{"retry_of", j.GetRetryOf()},
		{"job_attempt", number(max(j.GetAttempt(), 1))},
		{"generated", r.generated.UTC().Format(time.RFC3339)},
		{"generated_by", r.by},
		{"server", joinWords(" ", r.server, r.serverVersion)},
	}
}

// pauseRecord tells every pause: who, when, why, and how it was over.
func pauseRecord(j *fleetv1.Job) string {
	pauses := slices.Clip(j.GetPastPauses())
	if j.GetPause() != nil {
		pauses = append(pauses, j.GetPause())
	}
	return pausesWord(pauses)
}

func pausesWord(pauses []*fleetv1.Pause) string {
	var all []string
	for _, p := range pauses {
		record := joinWords(": ", "by "+p.GetBy()+" at "+output.UTC(p.GetTime()), p.GetReason())
		switch {
		case p.GetEndedBy() != "":
			record = joinWords(": ", record+", resumed by "+p.GetEndedBy()+" at "+output.UTC(p.GetEnded()), p.GetEndReason())
		case p.GetEnded() != nil:
			record += ", until the job ended"
		}
		all = append(all, record)
	}
	return joinWords("; ", all...)
}

func cancelRecord(j *fleetv1.Job) string {
	if !j.GetCancelled() {
		return ""
	}
	return joinWords(": ", "by "+j.GetCancelledBy(), j.GetCancelReason())
}

// reportColumn is a column of the table of targets. A cell of several things has one each in its list.
type reportColumn struct {
	name  string
	cells func(*fleetv1.Task) []string
}

// one makes a column of single values.
func one(name string, value func(*fleetv1.Task) string) reportColumn {
	return reportColumn{name, func(t *fleetv1.Task) []string { return []string{value(t)} }}
}

// reportColumns are the columns of the table of targets, in their order.
func reportColumns(dryRun bool) []reportColumn {
	return []reportColumn{
		one("terminal_id", (*fleetv1.Task).GetTerminalId),
		one("terminal", (*fleetv1.Task).GetTerminalName),
		one("site", (*fleetv1.Task).GetSite),
		one("wave", waveNumber),
		one("attempt", func(t *fleetv1.Task) string { return number(attempts(t)) }),
		one("status", func(t *fleetv1.Task) string { return strings.ToUpper(taskWord(t, dryRun)) }),
		one("reason", reasonOf),
		one("next_step", func(t *fleetv1.Task) string { return t.GetResult().GetNextStep() }),
		one("permitted", func(t *fleetv1.Task) string { return output.UTC(t.GetPermitted()) }),
		one("started", func(t *fleetv1.Task) string { return output.UTC(startOf(t)) }),
		one("finished", func(t *fleetv1.Task) string { return output.UTC(endOf(t)) }),
		one("duration_seconds", durationOf),
		one("plugin", func(t *fleetv1.Task) string { return t.GetResult().GetPlugin() }),
		one("plugin_version", func(t *fleetv1.Task) string { return t.GetResult().GetPluginVersion() }),
		one("plugin_sha256", func(t *fleetv1.Task) string { return t.GetResult().GetPluginSha256() }),
		{"effects", func(t *fleetv1.Task) []string { return namesOf(t.GetResult().GetEffects(), effectRecord) }},
		{"put_back", func(t *fleetv1.Task) []string { return namesOf(t.GetResult().GetUndone(), undoRecord) }},
		{"checks", func(t *fleetv1.Task) []string { return namesOf(t.GetResult().GetChecks(), checkRecord) }},
		{"findings", func(t *fleetv1.Task) []string { return namesOf(worstFirst(t.GetResult().GetFindings()), findingRecord) }},
		{"leases", func(t *fleetv1.Task) []string { return namesOf(t.GetResult().GetLeases(), leaseWord) }},
		{"interruptions", func(t *fleetv1.Task) []string { return namesOf(t.GetResult().GetInterruptions(), interruptionRecord) }},
		{"evidence", func(t *fleetv1.Task) []string { return namesOf(t.GetResult().GetEvidence(), evidenceRecord) }},
		{"answers", func(t *fleetv1.Task) []string { return namesOf(t.GetAnswers(), answerWord) }},
		{"artifacts", func(t *fleetv1.Task) []string { return namesOf(t.GetResult().GetArtifacts(), artifactRecord) }},
	}
}

// reasonOf is why a task ended as it did, or what it waits for.
func reasonOf(t *fleetv1.Task) string {
	if t.GetState() == fleetv1.TaskState_TASK_STATE_WAITING {
		return waitWord(t.GetWait())
	}
	return joinWords("; ", t.GetResult().GetReason(), recoveredWord(t.GetResult()))
}

// startOf is when a task started by the agent's account, or, while it runs, by the server's.
func startOf(t *fleetv1.Task) *timestamppb.Timestamp {
	if s := t.GetResult().GetStarted(); s != nil {
		return s
	}
	return t.GetStarted()
}

// endOf is when a task ended by the agent's account, or, when no agent had it, by the server's.
func endOf(t *fleetv1.Task) *timestamppb.Timestamp {
	if f := t.GetResult().GetFinished(); f != nil {
		return f
	}
	return t.GetFinished()
}

// durationOf is how long a task ran on its machine, in seconds; "" when it did not.
func durationOf(t *fleetv1.Task) string {
	r := t.GetResult()
	if r.GetStarted() == nil || r.GetFinished() == nil {
		return ""
	}
	d := max(r.GetFinished().AsTime().Sub(r.GetStarted().AsTime()), 0)
	return strconv.FormatFloat(d.Seconds(), 'f', 3, 64)
}

func effectRecord(e *actionv1.RecordedEffect) string {
	text := output.UTC(e.GetStarted()) + " " + effectWord(e.GetEffect()) + " [" + stateWord(e.GetBefore()) + " → " + stateWord(e.GetAfter()) + "]"
	return joinWords(": did not come about: ", text, e.GetError())
}

func undoRecord(u *actionv1.Undo) string { return u.GetResource() + ": " + undoWord(u) }

func checkRecord(c *actionv1.Check) string {
	verdict := "ok"
	if !c.GetOk() {
		verdict = "FAILED"
	}
	return verdict + ": " + c.GetName() + ": expected " + c.GetExpected() + ", observed " + c.GetObserved()
}

func interruptionRecord(i *actionv1.Interruption) string { return i.GetService() + " " + downTime(i) }

func evidenceRecord(e *actionv1.Evidence) string { return e.GetName() + ": " + e.GetValue() }

func artifactRecord(x *actionv1.ArtifactReference) string {
	text := kindWord(x.GetKind(), x.GetSubject()) + " " + strconv.FormatUint(x.GetSize(), 10) + " bytes SHA-256 " + x.GetSha256()
	if x.GetTruncated() {
		text += " (cut)"
	}
	return text
}
