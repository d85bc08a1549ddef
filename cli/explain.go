package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	"github.com/bandfleet/bandfleet/proto/catalogue/explain"
)

type explainOptions struct {
	words, code, role string
	offline           bool
}

func newExplain(a *app) *cobra.Command {
	o := &explainOptions{}
	c := &cobra.Command{
		Use:   "explain WORDS...",
		Short: "Say what a text or a number on a screen means, and what to do",
		Long: `Searches the catalogue for what a screen shows or a user says, slips of the keyboard included, and prints what it means, what Bandfleet does by
itself, what to type and what a person does. Where the same words stand for several things it asks for the number that is shown with them,
or lists all of them: it never makes one cause of several.

It needs no server and no context file. When there is a server that can be reached, its packs are searched, too.`,
		Example: `  fleetctl explain "operation timed out"
  fleetctl explain "operation timed out" --code 3010
  fleetctl explain --code 2200
  fleetctl explain "BLE tap" --role user-terminal -o json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.words = strings.Join(args, " ")
			return runExplain(cmd.Context(), a, o)
		},
		ValidArgsFunction: fixedCompletion(),
	}
	c.Flags().StringVar(&o.code, "code", "", "the `number` that is shown, as 3010 or 500.19")
	c.Flags().StringVar(&o.role, "role", "", "only what can be at machines of this `role`: user-terminal or nes-host")
	addOffline(c, &o.offline)
	mustComplete(c, "role", fixedCompletion("user-terminal", "nes-host"))
	return c
}

func runExplain(ctx context.Context, a *app, o *explainOptions) error {
	target, err := o.target()
	if err != nil {
		return err
	}
	if strings.TrimSpace(o.words) == "" && o.code == "" {
		return exit.Errorf(exit.BadInput, "explain: there are no words and no number").Then("write `fleetctl explain \"what the screen says\"`, or give --code")
	}
	k, err := a.catalogue(ctx, o.offline)
	if err != nil {
		return err
	}
	answer := explain.Find(k.Catalogue, o.words, o.code)
	if target != "" {
		answer = answer.For(target)
	}
	if len(answer.Ranked) == 0 {
		return exit.Errorf(exit.NotFound, "explain: the catalogue has nothing like that").
			Then("try fewer or other words, leave --role and --code out, or look through `fleetctl catalogue list`")
	}
	return printAnswer(a, k, o, answer)
}

func (o *explainOptions) target() (catalogue.Target, error) {
	switch strings.ToLower(o.role) {
	case "":
		return "", nil
	case "user-terminal":
		return catalogue.Terminal, nil
	case "nes-host":
		return catalogue.NESHost, nil
	default:
		return "", exit.Errorf(exit.BadInput, "role %q is not known", o.role).Then("use one of user-terminal, nes-host")
	}
}

// explained is an answer for programs.
type explained struct {
	Catalogue string           `yaml:"catalogue"`
	Source    string           `yaml:"source"`
	Sure      bool             `yaml:"sure"`
	Likely    int              `yaml:"likely"`
	AskCode   []string         `yaml:"ask_code,omitempty"`
	Ranked    []explainedEntry `yaml:"ranked"`
}

type explainedEntry struct {
	Score    float64          `yaml:"score"`
	Why      string           `yaml:"why"`
	Entry    *catalogue.Entry `yaml:"entry"`
	Commands []string         `yaml:"commands,omitempty"`
}

func printAnswer(a *app, k *known, o *explainOptions, answer *explain.Answer) error {
	switch a.format {
	case output.JSON, output.YAML:
		return a.out.Document(a.format, explainedOf(k, answer))
	case output.Name:
		for _, h := range answer.Ranked[:answer.Likely] {
			a.out.Line("%s", h.Entry.ID)
		}
		return nil
	}
	switch {
	case len(answer.AskCode) > 0:
		askForCode(a, o, answer)
	case answer.Sure():
		describeEntry(a, k.Catalogue, answer.Ranked[0].Entry)
		a.alsoPossible(answer.Ranked[1:])
	default:
		if answer.UnknownCode != "" {
			a.out.Line("No entry has the number %s.", answer.UnknownCode)
		}
		a.out.Line("%s; what is read of the machine decides:", mayMean(answer.Likely))
		a.candidates(answer.Ranked[:answer.Likely])
		a.alsoPossible(answer.Ranked[answer.Likely:])
		a.out.Line("next: `fleetctl diagnose TERMINAL` reads the machine, `fleetctl catalogue show %s` shows the first in full", answer.Ranked[0].Entry.ID)
	}
	return nil
}

func mayMean(n int) string {
	if n == 1 {
		return "It is not certain what these words mean, perhaps this"
	}
	return "These words may mean " + output.Count(n, "thing")
}

func explainedOf(k *known, answer *explain.Answer) *explained {
	e := &explained{Catalogue: k.Version(), Source: k.source, Sure: answer.Sure(), Likely: answer.Likely, AskCode: answer.AskCode}
	for _, h := range answer.Ranked {
		one := explainedEntry{Score: float64(int(h.Score*100)) / 100, Why: h.Why, Entry: h.Entry}
		for _, s := range h.Entry.Remedy.Steps {
			one.Commands = append(one.Commands, s.Command(h.Entry.Target))
		}
		e.Ranked = append(e.Ranked, one)
	}
	return e
}

// askForCode asks for the number, with what each would mean.
func askForCode(a *app, o *explainOptions, answer *explain.Answer) {
	a.out.Line("Which number is shown with it? The same words mean different things:")
	likely := slices.Clone(answer.Ranked[:answer.Likely])
	slices.SortStableFunc(likely, func(x, y explain.Hit) int { return min(len(y.Entry.Codes), 1) - min(len(x.Entry.Codes), 1) })
	a.candidates(likely)
	a.alsoPossible(answer.Ranked[answer.Likely:])
	for _, code := range answer.AskCode {
		a.out.Line("next: `fleetctl explain %q --code %s`", o.words, code)
	}
}

// candidates lists entries with the numbers and the machines that tell them apart.
func (a *app) candidates(hits []explain.Hit) {
	for _, h := range hits {
		number := ""
		if len(h.Entry.Codes) > 0 {
			number = ", " + list(h.Entry.Codes)
		}
		a.out.Line("  %s (%s%s): %s", h.Entry.ID, h.Entry.Target, number, h.Entry.Title)
		for _, way := range h.Entry.FoundBy()[:min(1, len(h.Entry.FoundBy()))] {
			a.out.Line("      when %s", way)
		}
	}
}

// maxAlso is how many less likely entries are told.
const maxAlso = 5

func (a *app) alsoPossible(hits []explain.Hit) {
	if len(hits) == 0 {
		return
	}
	a.out.Line("Less likely:")
	for _, h := range hits[:min(len(hits), maxAlso)] {
		a.out.Line("  %s: %s", h.Entry.ID, h.Entry.Title)
	}
}
