package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	"github.com/bandfleet/bandfleet/proto/catalogue/match"
)

// packVerb makes a command that looks at a pack beside the catalogue.
func packVerb(a *app, c *cobra.Command, run func(k *known, pack *catalogue.Pack, file string) error) *cobra.Command {
	offline := false
	c.Args = takes(1, "FILE")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		pack, _, err := readPack(args[0])
		if err != nil {
			return err
		}
		k, err := a.besides(cmd.Context(), pack.Name, offline)
		if err != nil {
			return err
		}
		return run(k, pack, args[0])
	}
	addOffline(c, &offline)
	return c
}

// besides is the catalogue without the pack of a name, whose place another version would take.
func (a *app) besides(ctx context.Context, name string, offline bool) (*known, error) {
	k, err := a.catalogue(ctx, offline)
	if err != nil || !slices.ContainsFunc(k.Packs(), func(p *catalogue.Pack) bool { return p.Name == name }) {
		return k, err
	}
	others := slices.DeleteFunc(k.Packs(), func(p *catalogue.Pack) bool { return p.Name == name })
	builtin, err := catalogue.Load()
	if err == nil {
		k.Catalogue, err = builtin.With(others...)
	}
	return k, err
}

func newCatalogueLint(a *app) *cobra.Command {
	return packVerb(a, &cobra.Command{
		Use:   "lint FILE",
		Short: "Say what is wrong in a pack",
		Long: `Checks a pack as the server does before it takes one: names, signals, kinds of files, rules and their samples, remedies and what a person does.
Each sample must obey its own rule, and no rule of another entry but those that it names in "like". With a server that can be reached, steps
are compared with the actions that terminals offer; without one that is left out, and said.

Rules are texts and numbers. Regular expressions are refused, for one of them can take for ever.`,
		Example: "  fleetctl catalogue lint lyon.yaml\n  fleetctl catalogue lint lyon.yaml --offline",
	}, func(k *known, pack *catalogue.Pack, file string) error {
		problems, err := catalogue.LintPack(k.Catalogue, pack, k.actions)
		if err != nil {
			return exit.Errorf(exit.BadInput, "%v", err)
		}
		if k.actions == nil {
			a.info.Line("no server was asked, so actions and their parameters are not checked")
		}
		if len(problems) > 0 {
			e := exit.Errorf(exit.BadInput, "%s: %s", file, output.Count(len(problems), "problem"))
			for _, p := range problems {
				e = e.With(p.String())
			}
			return e
		}
		a.people().Line("%s: pack %s %s, %s, nothing is wrong", file, pack.Name, pack.Version, entriesWord(len(pack.Entries)))
		return nil
	})
}

func entriesWord(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// sampled is a sample with what it obeys.
type sampled struct {
	Entry   string   `yaml:"entry"`
	Rule    string   `yaml:"rule"`
	Sample  string   `yaml:"sample"`
	Matches bool     `yaml:"matches"`
	Obeys   []string `yaml:"obeys"`
}

func newCatalogueTest(a *app) *cobra.Command {
	return packVerb(a, &cobra.Command{
		Use:   "test FILE",
		Short: "Hold the samples of a pack against all rules",
		Long: `Reads every sample line of a pack as an agent would read it in a log, and lists which rules it obeys, of the pack and of all other entries. It
ends with code 3 when a sample does not obey its own rule.`,
		Example: "  fleetctl catalogue test lyon.yaml\n  fleetctl catalogue test lyon.yaml -o json",
	}, func(k *known, pack *catalogue.Pack, _ string) error {
		rows, err := samplesOf(k.Catalogue, pack)
		if err != nil {
			return exit.Errorf(exit.BadInput, "%v", err)
		}
		if err := printSamples(a, rows); err != nil {
			return err
		}
		bad := slices.DeleteFunc(slices.Clone(rows), func(s sampled) bool { return s.Matches })
		if len(bad) > 0 {
			return exit.Errorf(exit.NotSuccessful, "pack %q: %s not obey their own rules", pack.Name, output.Count(len(bad), "sample")+" do").
				Then("change the rule or the sample; `fleetctl catalogue lint` says more")
		}
		return nil
	})
}

func printSamples(a *app, rows []sampled) error {
	switch {
	case a.format == output.JSON || a.format == output.YAML:
		return a.out.Document(a.format, map[string]any{"samples": rows})
	case len(rows) == 0:
		a.info.Line("no samples")
		return nil
	}
	output.Rows(a.out, a.format == output.Wide, []output.Column[sampled]{
		{Title: "RULE", Text: func(s sampled) string { return s.Rule }},
		{Title: "MATCHES", Text: func(s sampled) string { return yesNo(s.Matches) }},
		{Title: "OBEYS", Text: func(s sampled) string { return list(s.Obeys) }},
		{Title: "SAMPLE", Text: func(s sampled) string { return s.Sample }},
	}, rows)
	return nil
}

func samplesOf(base *catalogue.Catalogue, pack *catalogue.Pack) (rows []sampled, err error) {
	with, err := base.With(pack)
	if err != nil {
		return nil, err
	}
	var rules []*agentv1.LogRule
	for _, target := range []catalogue.Target{catalogue.Terminal, catalogue.NESHost} {
		_, logs := catalogue.Rules(with, target)
		rules = append(rules, logs...)
	}
	set, err := match.Compile(rules)
	if err != nil {
		return nil, err
	}
	for _, e := range pack.Entries {
		for _, r := range e.Detect.Logs {
			for _, sample := range r.Samples {
				row := sampled{Entry: e.ID, Rule: e.ID + "/" + r.Name, Sample: sample}
				for _, h := range catalogue.Sampled(set, r.File, sample) {
					row.Obeys = append(row.Obeys, h.Rule.GetId())
				}
				row.Matches = slices.Contains(row.Obeys, row.Rule)
				rows = append(rows, row)
			}
		}
	}
	return rows, nil
}
