package cli

import (
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newSiteShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show SITE",
		Short: "Show a site with all its settings",
		Long: `Shows a site with all its settings, in the words in which "fleetctl site set" takes them. Times are those of the site's own
clock. What -o yaml prints can be changed and given back with "fleetctl site set SITE -f".`,
		Example: `  fleetctl site show lyon
  fleetctl site show lyon -o yaml > lyon.yaml`,
		Args:              takes(1, "SITE"),
		ValidArgsFunction: byPlace(a.completeSites),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			return describeSiteNamed(cmd.Context(), a, c, args[0])
		},
	}
}

func describeSite(a *app, s *fleetv1.Site) {
	a.out.Fields(0,
		output.Text("Name", s.GetName()),
		output.Text("Description", s.GetDescription()),
		output.Text("Created", output.UTC(s.GetCreated())),
		output.Text("Terminals", number(s.GetTerminals())),
		output.Text("Online", number(s.GetOnline())),
		output.Text("Time zone", orWord(s.GetSettings().GetTimeZone(), "UTC")),
		output.Text("Nymi Agent", nymiAgentWords(s.GetSettings())),
		output.Text("Approvals", number(s.GetSettings().GetApprovals())),
	)
	if least := s.GetSettings().GetMinimumBandFirmware(); least != "" {
		a.out.Line("Bands need firmware %s or newer.", least)
	}
	describeLists(a, s.GetSettings())
	if a.format == output.Wide {
		a.out.Fields(0, output.Text("Etag", s.GetEtag()))
	}
}

// describeLists prints the settings of which there can be many.
func describeLists(a *app, s *fleetv1.SiteSettings) {
	printLines(a, "Windows", "always open", wordsOf(s.GetWindows(), windowWords))
	printLines(a, "Blackouts", "none", wordsOf(s.GetBlackouts(), blackoutWords))
	printLines(a, "NES hosts", "none", wordsOf(s.GetNesHosts(), nesHostWords))
	printLines(a, "Approved roots", "none", wordsOf(s.GetApprovedRoots(), rootWords))
	printLines(a, "Known hosts", "none", wordsOf(s.GetKnownHosts(), knownHostWords))
	printLines(a, "nbe.toml", "as it is", wordsOf(slices.Sorted(maps.Keys(s.GetNbeProfile())), func(key string) string {
		return key + "=" + s.GetNbeProfile()[key]
	}))
}

// printLines prints a name with its values below it, or what it means that there are none.
func printLines(a *app, name, none string, values []string) {
	if len(values) == 0 {
		a.out.Line("%s: %s", name, none)
		return
	}
	a.out.Line("%s:", name)
	for _, v := range values {
		a.out.Line("  %s", v)
	}
}

func wordsOf[T any](all []T, words func(T) string) (out []string) {
	for _, one := range all {
		out = append(out, words(one))
	}
	return out
}

func orWord(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// nymiAgentWords writes what --nymi-agent takes.
func nymiAgentWords(s *fleetv1.SiteSettings) string {
	switch {
	case s.GetNymiAgentUrl() != "":
		return word(s.GetNymiAgent()) + "=" + s.GetNymiAgentUrl()
	case s.GetNymiAgent() == fleetv1.NymiAgentPlacement_NYMI_AGENT_PLACEMENT_UNSPECIFIED:
		return "not set"
	default:
		return word(s.GetNymiAgent())
	}
}
