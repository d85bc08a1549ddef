package cli

import (
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// counting returns the approvals that count.
func counting(s *fleetv1.ApprovalState) []*fleetv1.Approval {
	var out []*fleetv1.Approval
	for _, a := range s.GetApprovals() {
		if a.GetLapsed() == "" {
			out = append(out, a)
		}
	}
	return out
}

// missing is how many approvals a job waits for; 0 when it waits for none.
func missing(j *fleetv1.Job) int {
	s := j.GetApproval()
	if j.GetState() == fleetv1.JobState_JOB_STATE_DONE || s.GetRejection() != nil {
		return 0
	}
	return max(int(s.GetNeeded())-len(counting(s)), 0)
}

// approvers names those whose approval counts.
func approvers(s *fleetv1.ApprovalState) string {
	return joinAnd(namesOf(counting(s), (*fleetv1.Approval).GetBy))
}

// awaitedWord says that a job waits for approvals, and how they are given; "" when it waits for none.
func awaitedWord(j *fleetv1.Job) string {
	n := missing(j)
	if n == 0 {
		return ""
	}
	text := "waits for " + output.Count(n, "approval")
	if by := approvers(j.GetApproval()); by != "" {
		text = "approved by " + by + ", waits for " + number(uint32(n)) + " more"
	}
	return text + "; another person approves it with `fleetctl job approve " + j.GetId() + "`"
}

// approvalWord writes who approved a job, or that it waits; "" when it needs nothing.
func approvalWord(j *fleetv1.Job) string {
	s := j.GetApproval()
	switch {
	case s.GetRejection() != nil:
		return joinWords(": ", "rejected by "+s.GetRejection().GetBy(), s.GetRejection().GetReason())
	case missing(j) > 0:
		return awaitedWord(j)
	case len(counting(s)) > 0:
		return "approved by " + approvers(s)
	default:
		return ""
	}
}

// whyApprovals says why a job that waits for approvals does; "" when it waits for none, or the reader may not know.
func whyApprovals(j *fleetv1.Job) string {
	if missing(j) == 0 || len(j.GetApproval().GetReasons()) == 0 {
		return ""
	}
	return "approvals: " + joinWords("; ", j.GetApproval().GetReasons()...)
}

// approvalStyle marks what is not approved.
func approvalStyle(j *fleetv1.Job) output.Style {
	if missing(j) > 0 || j.GetApproval().GetRejection() != nil {
		return output.Doubt
	}
	return output.Faint
}

// approvalLines writes each approval in a line, as a record.
func approvalLines(s *fleetv1.ApprovalState) []string {
	var lines []string
	for _, a := range s.GetApprovals() {
		lines = append(lines, approvalLine("approved", a))
	}
	if a := s.GetRejection(); a != nil {
		lines = append(lines, approvalLine("rejected", a))
	}
	return lines
}

func approvalLine(verb string, a *fleetv1.Approval) string {
	text := verb + " by " + a.GetBy() + " at " + output.UTC(a.GetTime())
	if a.GetExpires() != nil {
		text += ", counts until " + output.UTC(a.GetExpires())
	}
	text = joinWords(": ", text, a.GetReason())
	if a.GetLapsed() != "" {
		text += " (counts no more: " + a.GetLapsed() + ")"
	}
	return text
}
