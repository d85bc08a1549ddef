package cli

import (
	"slices"
	"strings"

	"github.com/bandfleet/bandfleet/cli/output"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// planGroup is the terminals with one and the same plan.
type planGroup struct {
	names []string
	lines []string
	// evidence is what the plan of the one terminal rests on. Several terminals have each their own, which `job show` has.
	evidence []*actionv1.Evidence
	// people are who is signed in, terminal by terminal.
	people []string
}

// printPlans prints what a dry run found: each plan once, under the names of the terminals that have it.
func printPlans(p *output.Printer, b *board) {
	for _, g := range groupPlans(b) {
		p.Line("")
		p.Line("%s:", p.Paint(output.Bold, strings.Join(g.names, ", ")))
		for _, line := range g.lines {
			p.Line("  %s", line)
		}
		printEvidence(p, g)
		printPeople(p, g.people)
	}
}

// printEvidence shows what a plan rests on, if one terminal alone has it.
func printEvidence(p *output.Printer, g *planGroup) {
	if len(g.names) > 1 {
		return
	}
	for _, e := range g.evidence {
		p.Line("  found: %s: %s", e.GetName(), e.GetValue())
	}
}

// printPeople shows who is signed in; of very many terminals some are shown, and how many more there are.
func printPeople(p *output.Printer, people []string) {
	for _, who := range people[:min(len(people), listedSuccesses)] {
		p.Line("  %s %s", p.Paint(output.Doubt, "signed in:"), who)
	}
	if more := len(people) - listedSuccesses; more > 0 {
		p.Line("  people are signed in on %d more; -o json lists them", more)
	}
}

// groupPlans brings terminals together whose plans differ only in process ids: they are no reason to print a plan a thousand
// times.
func groupPlans(b *board) []*planGroup {
	var groups []*planGroup
	known := make(map[string]*planGroup)
	for _, t := range b.ordered() {
		plan := t.GetResult().GetPlan()
		if plan == nil {
			continue
		}
		full, bare := planLines(plan, (*actionv1.PlannedEffect).GetBefore), planLines(plan, stateBefore)
		key := strings.Join(bare, "\n")
		g := known[key]
		switch {
		case g == nil:
			g = &planGroup{lines: full, evidence: t.GetResult().GetEvidence()}
			known[key] = g
			groups = append(groups, g)
		case !slices.Equal(g.lines, full):
			g.lines = bare
		}
		g.names = append(g.names, planName(t))
		if who := sessionsWord(t.GetResult().GetUserSessions()); who != "" {
			g.people = append(g.people, t.GetTerminalName()+": "+who)
		}
	}
	return groups
}

// sessionsWord writes who is signed in and how active: "PLANT\anna (active), PLANT\bo (idle since 2026-11-24T07:10:00Z)".
func sessionsWord(sessions []*actionv1.UserSession) string {
	parts := make([]string, 0, len(sessions))
	for _, s := range sessions {
		how := word(s.GetActivity())
		if s.GetIdleSince() != nil {
			how += " since " + output.UTC(s.GetIdleSince())
		}
		parts = append(parts, s.GetUser()+" ("+how+")")
	}
	return strings.Join(parts, ", ")
}

func planName(t *fleetv1.Task) string { return t.GetTerminalName() + " (" + t.GetSite() + ")" }

// planLines writes a plan: its verdict, then each effect in order, those that are done only under a condition marked. The
// states before are written as before tells them.
func planLines(plan *actionv1.Plan, before func(*actionv1.PlannedEffect) string) []string {
	var lines []string
	switch plan.GetVerdict() {
	case actionv1.PlanVerdict_PLAN_VERDICT_READY:
	case actionv1.PlanVerdict_PLAN_VERDICT_NO_CHANGE:
		lines = append(lines, "nothing to do: "+plan.GetReason())
	default:
		lines = append(lines, word(plan.GetVerdict())+": "+plan.GetReason())
	}
	for i, e := range plan.GetEffects() {
		lines = append(lines, number(uint32(i+1))+". "+plannedWord(e, before(e)))
	}
	for _, w := range plan.GetWarnings() {
		lines = append(lines, "warning: "+w)
	}
	if plan.GetNextStep() != "" {
		lines = append(lines, "next: "+plan.GetNextStep())
	}
	return lines
}

// stateBefore is the state before without what stands in parentheses: "running (process 412)" is "running".
func stateBefore(e *actionv1.PlannedEffect) string {
	state, _, _ := strings.Cut(e.GetBefore(), " (")
	return state
}

// plannedWord writes an effect with the states before, where it is known, and after.
func plannedWord(e *actionv1.PlannedEffect, before string) string {
	text := effectWord(e.GetEffect())
	if e.GetOnlyIf() != "" {
		text = "only if " + e.GetOnlyIf() + ": " + text
	}
	switch {
	case before != "" && e.GetAfter() != "":
		text += "  [" + before + " → " + e.GetAfter() + "]"
	case e.GetAfter() != "":
		text += "  [then " + e.GetAfter() + "]"
	}
	return text
}
