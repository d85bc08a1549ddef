package cli

import (
	"maps"
	"slices"
	"time"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// printSpread shows how a job would spread, when it would start, and whose approval it needs.
func printSpread(p *output.Printer, spec *fleetv1.JobSpec, preview *fleetv1.PreviewJobResponse) {
	lines := []string{startsWord(spec.GetNotBefore()), untilWord(spec)}
	if !spec.GetDryRun() || spec.GetRollout() != nil {
		lines = append(rolloutWords(preview.GetRollout(), preview.GetProgress()), lines...)
	}
	for _, line := range lines {
		if line != "" {
			p.Line("  %s", line)
		}
	}
	if spec.GetInUse() == fleetv1.InUse_IN_USE_PROCEED {
		p.Line("  %s it does not wait where a person is at work", p.Paint(output.Doubt, "in use:"))
	}
	if spec.GetBreakGlass() != "" {
		p.Line("  %s maintenance windows and blackouts are lifted: %s", p.Paint(output.Doubt, "break glass:"), spec.GetBreakGlass())
	}
	if s := preview.GetApproval(); s.GetNeeded() > 0 {
		p.Line("  %s %s of others (%s)", p.Paint(output.Doubt, "needs"), output.Count(s.GetNeeded(), "approval"), joinWords("; ", s.GetReasons()...))
	}
}

// untilWord writes an expiry that was asked for.
func untilWord(spec *fleetv1.JobSpec) string {
	if spec.GetExpiresIn() == nil {
		return ""
	}
	after := "its creation"
	if spec.GetNotBefore() != nil {
		after = "that"
	}
	return "starts nothing more " + output.Duration(spec.GetExpiresIn().AsDuration()) + " after " + after
}

// printWaits names the terminals that something keeps from starting now, under each reason. Those that are offline stand with their
// sites, and those that only wait for their turn are no news.
func printWaits(p *output.Printer, targets []*fleetv1.Target) {
	byWait := make(map[string][]string)
	for _, t := range targets {
		if w := t.GetWait(); w != nil && !ownPace(w.GetReason()) && w.GetReason() != fleetv1.WaitReason_WAIT_REASON_OFFLINE {
			text := waitWord(w)
			if w.GetNextLook() != nil {
				text += ", looked at " + momentWord(w.GetNextLook(), time.Local)
			}
			byWait[text] = append(byWait[text], t.GetName())
		}
	}
	for _, text := range slices.Sorted(maps.Keys(byWait)) {
		names := byWait[text]
		p.Line("  %s (%s): %s", p.Paint(output.Doubt, output.Count(len(names), "terminal")+" will wait"), someNames(names), text)
	}
}
