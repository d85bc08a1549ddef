package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// namedInPreview is the most terminals of one kind that the preview names.
const namedInPreview = 10

// siteTargets is what a preview says of one site.
type siteTargets struct {
	total   int
	offline []string
}

// printPreview shows what a job would reach: how many terminals where, which are offline, which will refuse and why, and what
// stops working meanwhile.
func printPreview(p *output.Printer, spec *fleetv1.JobSpec, offered *fleetv1.GetActionResponse, preview *fleetv1.PreviewJobResponse) {
	targets := preview.GetTargets()
	what := spec.GetAction()
	if spec.GetDryRun() {
		what += " (dry run: nothing is changed)"
	}
	p.Line("%s on %s:", p.Paint(output.Bold, what), output.Count(len(targets), "terminal"))
	bySite := groupTargets(targets)
	for _, site := range slices.Sorted(maps.Keys(bySite)) {
		s := bySite[site]
		p.Line("  %s: %s, %d online%s", site, output.Count(s.total, "terminal"), s.total-len(s.offline), offlineWord(s))
	}
	if given := pairs(preview.GetParams()); given != "" {
		p.Line("  with %s", strings.ReplaceAll(given, ",", ", "))
	}
	if text := interrupts(offered); !spec.GetDryRun() && text != "" && !mentioned(preview.GetWarnings(), text) {
		p.Line("  %s %s", p.Paint(output.Doubt, "interrupts:"), text)
	}
	printProblems(p, targets)
	printWaits(p, targets)
	printSpread(p, spec, preview)
	for _, w := range preview.GetWarnings() {
		p.Line("  %s %s", p.Paint(output.Doubt, "warning:"), w)
	}
}

// interrupts is what stops working meanwhile, by the most used version of the action.
func interrupts(offered *fleetv1.GetActionResponse) string {
	if len(offered.GetActions()) == 0 {
		return ""
	}
	return offered.GetActions()[0].GetAction().GetInterrupts()
}

func mentioned(warnings []string, text string) bool {
	return slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, text) })
}

func groupTargets(targets []*fleetv1.Target) map[string]*siteTargets {
	out := make(map[string]*siteTargets)
	for _, t := range targets {
		s := out[t.GetSite()]
		if s == nil {
			s = &siteTargets{}
			out[t.GetSite()] = s
		}
		s.total++
		if !t.GetOnline() {
			s.offline = append(s.offline, t.GetName())
		}
	}
	return out
}

func offlineWord(s *siteTargets) string {
	if len(s.offline) == 0 {
		return ""
	}
	return fmt.Sprintf(", %d offline (%s)", len(s.offline), someNames(s.offline))
}

// printProblems names the terminals that will refuse, under each reason.
func printProblems(p *output.Printer, targets []*fleetv1.Target) {
	byProblem := make(map[string][]string)
	for _, t := range targets {
		if t.GetProblem() != "" {
			byProblem[t.GetProblem()] = append(byProblem[t.GetProblem()], t.GetName())
		}
	}
	for _, problem := range slices.Sorted(maps.Keys(byProblem)) {
		names := byProblem[problem]
		p.Line("  %s %s: %s", p.Paint(output.Bad, output.Count(len(names), "terminal")+" will refuse"), "("+someNames(names)+")", problem)
	}
}

func someNames(names []string) string {
	if len(names) <= namedInPreview {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:namedInPreview], ", ") + fmt.Sprintf(" and %d more", len(names)-namedInPreview)
}
