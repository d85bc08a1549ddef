package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bandfleet/bandfleet/cli/output"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// findingsWord counts what was found: "1 problem, 2 warnings, 14 good, 3 unknown"; "" when nothing was looked at.
func findingsWord(findings []*actionv1.Finding) string {
	if len(findings) == 0 {
		return ""
	}
	n := map[actionv1.FindingLevel]int{}
	for _, f := range findings {
		n[f.GetLevel()]++
	}
	return fmt.Sprintf("%s, %s, %d good, %d unknown",
		output.Count(n[actionv1.FindingLevel_FINDING_LEVEL_PROBLEM], "problem"), output.Count(n[actionv1.FindingLevel_FINDING_LEVEL_WARNING], "warning"),
		n[actionv1.FindingLevel_FINDING_LEVEL_GOOD], n[actionv1.FindingLevel_FINDING_LEVEL_UNKNOWN])
}

// worstFirst sorts findings: problems, warnings, what is not known, what is good; else in the order in which they were found.
func worstFirst(findings []*actionv1.Finding) []*actionv1.Finding {
	rank := func(f *actionv1.Finding) int {
		switch f.GetLevel() {
		case actionv1.FindingLevel_FINDING_LEVEL_PROBLEM:
			return 0
		case actionv1.FindingLevel_FINDING_LEVEL_WARNING:
			return 1
		case actionv1.FindingLevel_FINDING_LEVEL_GOOD:
			return 3
		default:
			return 2
		}
	}
	sorted := slices.Clone(findings)
	slices.SortStableFunc(sorted, func(a, b *actionv1.Finding) int { return cmp.Compare(rank(a), rank(b)) })
	return sorted
}

// hasProblem says whether something was found that a person should see to.
func hasProblem(findings []*actionv1.Finding) bool {
	return slices.ContainsFunc(findings, func(f *actionv1.Finding) bool {
		return f.GetLevel() == actionv1.FindingLevel_FINDING_LEVEL_PROBLEM
	})
}

// levelWord is a finding's level as it is printed: "PROBLEM".
func levelWord(f *actionv1.Finding) string { return strings.ToUpper(word(f.GetLevel())) }

func levelStyle(f *actionv1.Finding) output.Style {
	switch f.GetLevel() {
	case actionv1.FindingLevel_FINDING_LEVEL_PROBLEM:
		return output.Bad
	case actionv1.FindingLevel_FINDING_LEVEL_GOOD:
		return output.Good
	default:
		return output.Doubt
	}
}

// printFindings prints findings, worst first: level, rule and subject, below it what is there, what is expected, and what to do. The good
// ones get one line each, and only when all are asked for.
func printFindings(p *output.Printer, findings []*actionv1.Finding, all bool) {
	for _, f := range worstFirst(findings) {
		good := f.GetLevel() == actionv1.FindingLevel_FINDING_LEVEL_GOOD
		if good && !all {
			continue
		}
		head := pad(levelWord(f), len("PROBLEM"))
		if good {
			p.Line("  %s  %s: %s: %s", p.Paint(levelStyle(f), head), f.GetRule(), f.GetSubject(), f.GetValue())
			continue
		}
		p.Line("  %s  %s: %s", p.Paint(levelStyle(f), head), f.GetRule(), f.GetSubject())
		p.Line("           is %s; want %s", f.GetValue(), f.GetExpected())
		if f.GetMessage() != "" {
			p.Line("           %s", f.GetMessage())
		}
	}
}

// findingRecord writes a finding in one line, for a report.
func findingRecord(f *actionv1.Finding) string {
	text := levelWord(f) + ": " + f.GetRule() + ": " + f.GetSubject() + ": is " + f.GetValue() + ", want " + f.GetExpected()
	return joinWords(": ", text, f.GetMessage())
}
