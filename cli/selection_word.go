package cli

import (
	"strings"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// selectionWord writes a selection as the flags that would make it.
func selectionWord(s *fleetv1.Selection) string {
	var parts []string
	add := func(flag string, values []string) {
		if len(values) > 0 {
			parts = append(parts, flag+" "+strings.Join(values, ","))
		}
	}
	add("--site", s.GetSites())
	add("--terminal", s.GetTerminals())
	add("--host", s.GetHosts())
	if s.GetRole() != 0 {
		add("--role", []string{word(s.GetRole())})
	}
	if len(s.GetLabels()) > 0 {
		for label := range strings.SplitSeq(pairs(s.GetLabels()), ",") {
			add("-l", []string{label})
		}
	}
	if text := s.GetExpression(); text != "" {
		add("-s", []string{"'" + strings.ReplaceAll(text, "'", `'\''`) + "'"})
	}
	if j := s.GetFromJob(); j != nil {
		add("--from-job", []string{j.GetJobId()})
		if j.GetFailed() {
			parts = append(parts, "--failed")
		}
	}
	if text := amountWord(s.GetLimit()); text != "" {
		add("--limit", []string{text})
	}
	return strings.Join(parts, " ")
}
