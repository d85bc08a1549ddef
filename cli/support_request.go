package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/cli/output"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
)

// Where a request goes, and under which type, as the vendor's guide says.
const (
	supportMail = "support@nymi.com"
	supportType = "Nymi Customers - Technical Support"
)

// requestText is a request to the vendor's support with everything filled in that is known.
func requestText(t *fleetv1.Terminal, diagnosis *actionv1.TaskResult, problem string, now time.Time, missing []string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("To: %s", supportMail)
	line("Type of request: %s", supportType)
	line("Subject: %s at site %s: %s", output.Safe(t.GetName()), t.GetSite(), orWord(output.Safe(problem), "(one line of what is wrong)"))
	line("")
	line("What is wrong")
	line("  %s", orWord(output.Safe(problem), "(what people see, since when, how often, on which other machines)"))
	line("  First seen: (date and time)   Seen by: (how many people)   Tried already: (what, with which result)")
	line("")
	line("The machine (as of %s)", now.UTC().Format(time.RFC3339))
	f := t.GetFacts()
	line("  Name: %s (%s), site %s", output.Safe(t.GetName()), identity.RoleWord(t.GetRole()), t.GetSite())
	line("  System: %s %s, %s", f.GetOs(), output.Safe(f.GetOsVersion()), f.GetArchitecture())
	for _, s := range f.GetServices() {
		line("  Service %q: %s", output.Safe(s.GetService()), serviceText(s))
	}
	line("  Bluetooth adapters: %d", len(f.GetAdapter().GetDevices()))
	line("  Version of the Nymi software: (About page of the Nymi Band Application, or of the NES console)")
	line("")
	findingLines(line, diagnosis.GetFindings())
	line("In this file")
	line("  terminal.json: what the inventory knows of the machine")
	line("  diagnosis.json: the diagnosis in full")
	line("  logs.zip: log files, with a manifest; secrets in configuration files are masked; they name people")
	for _, m := range missing {
		line("  Missing: %s", output.Safe(m))
	}
	return b.String()
}

// findingLines lists what a diagnosis found that is not as it should be.
func findingLines(line func(string, ...any), findings []*actionv1.Finding) {
	line("What a diagnosis found")
	bad := 0
	for _, f := range findings {
		if f.GetLevel() == actionv1.FindingLevel_FINDING_LEVEL_PROBLEM || f.GetLevel() == actionv1.FindingLevel_FINDING_LEVEL_WARNING {
			bad++
			line("  %s: %s: %s (is %s, expected %s)", strings.ToUpper(word(f.GetLevel())), output.Safe(f.GetSubject()), output.Safe(f.GetMessage()),
				output.Safe(orWord(f.GetValue(), "not set")), output.Safe(orWord(f.GetExpected(), "-")))
		}
	}
	switch {
	case len(findings) == 0:
		line("  (there is no diagnosis)")
	case bad == 0:
		line("  nothing out of order in %d checks", len(findings))
	}
	line("")
}

func serviceText(s *actionv1.ServiceState) string {
	if !s.GetInstalled() {
		return "not installed"
	}
	return strings.ToLower(strings.TrimPrefix(s.GetStatus().String(), "SERVICE_STATUS_"))
}
