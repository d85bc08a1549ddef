package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	"github.com/bandfleet/bandfleet/proto/catalogue"
)

func newCatalogueShow(a *app) *cobra.Command {
	offline := false
	c := &cobra.Command{
		Use:               "show ENTRY",
		Short:             "Show one entry of the catalogue in full",
		Long:              `Shows an entry in full: what people see, how it is noticed, what Bandfleet does, what to type, and what a person does.`,
		Example:           "  fleetctl catalogue show nbe-missing\n  fleetctl catalogue show nbe-missing -o yaml",
		Args:              takes(1, "ENTRY"),
		ValidArgsFunction: byPlace(a.completeEntries),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := a.catalogue(cmd.Context(), offline)
			if err != nil {
				return err
			}
			e := k.Entry(args[0])
			if e == nil {
				return noEntry(k.Catalogue, args[0])
			}
			return printEntry(a, k, e)
		},
	}
	addOffline(c, &offline)
	return c
}

func noEntry(c *catalogue.Catalogue, id string) error {
	e := exit.Errorf(exit.NotFound, "entry %q: not found", id)
	if near := nearest(id, namesOf(c.Entries(), func(e *catalogue.Entry) string { return e.ID })); near != "" {
		return e.Then("did you mean `fleetctl catalogue show %s`?", near)
	}
	return e.Then("`fleetctl catalogue list` lists them, `fleetctl explain \"WORDS\"` searches them")
}

func printEntry(a *app, k *known, e *catalogue.Entry) error {
	switch a.format {
	case output.JSON, output.YAML:
		return a.out.Document(a.format, e)
	case output.Name:
		a.out.Line("%s", e.ID)
	default:
		describeEntry(a, k.Catalogue, e)
	}
	return nil
}

// describeEntry prints an entry for people.
func describeEntry(a *app, c *catalogue.Catalogue, e *catalogue.Entry) {
	a.out.Line("%s: %s", a.out.Paint(output.Bold, e.ID), e.Title)
	a.out.Line("  %s", e.Symptom)
	a.out.Fields(0,
		output.Text("At", string(e.Target)), output.Text("Chapter", e.Chapter), output.Text("Shown as", quotedList(e.Says)),
		output.Text("Numbers", list(e.Codes)), output.Text("Pack", c.PackOf(e.ID)),
	)
	a.lines("Causes:", e.Causes)
	a.lines("Found when:", e.FoundBy())
	a.out.Line("Bandfleet %s.", e.Remedy.Words())
	if e.Remedy.Interrupts != "" {
		a.out.Line("It interrupts: %s", e.Remedy.Interrupts)
	}
	for i, s := range e.Remedy.Steps {
		a.out.Line("  %d. %s", i+1, s.Words())
		a.out.Line("     `%s`", s.Command(e.Target))
	}
	if p := e.Person; p != nil {
		a.out.Line("A person does (%s):", p.Assignee)
		for i, s := range p.Steps {
			a.out.Line("  %d. %s%s", i+1, s.Do, personNote(&s))
		}
	}
	a.out.Line("It is gone when: %s", e.Verify)
}

func (a *app) lines(title string, texts []string) {
	if len(texts) == 0 {
		return
	}
	a.out.Line("%s", title)
	for _, text := range texts {
		a.out.Line("  %s", text)
	}
}

func personNote(s *catalogue.PersonStep) string {
	note := ""
	if s.Timer > 0 {
		note += fmt.Sprintf(" (wait %s)", output.Duration(s.Timer))
	}
	if s.Optional {
		note += " (may be left out)"
	}
	return note
}

func quotedList(texts []string) string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = fmt.Sprintf("%q", t)
	}
	return list(out)
}
