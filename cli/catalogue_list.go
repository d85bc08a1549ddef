package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

type catalogueListOptions struct {
	chapter        string
	packs, offline bool
}

func newCatalogueList(a *app) *cobra.Command {
	o := &catalogueListOptions{}
	c := &cobra.Command{
		Use:   "list",
		Short: "List what can be wrong",
		Long: `Lists the entries of the catalogue: those that came with fleetctl, and those of the server's packs when it can be reached. With --packs the
packs themselves are listed.`,
		Example: `  fleetctl catalogue list
  fleetctl catalogue list --chapter Bluetooth
  fleetctl catalogue list --packs`,
		Args: takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.packs {
				return listPacks(cmd.Context(), a)
			}
			return runCatalogueList(cmd.Context(), a, o)
		},
	}
	c.Flags().StringVar(&o.chapter, "chapter", "", "only entries of this `chapter`")
	c.Flags().BoolVar(&o.packs, "packs", false, "list the packs of the server")
	addOffline(c, &o.offline)
	mustComplete(c, "chapter", a.completeChapters)
	return c
}

func runCatalogueList(ctx context.Context, a *app, o *catalogueListOptions) error {
	k, err := a.catalogue(ctx, o.offline)
	if err != nil {
		return err
	}
	entries := k.Entries()
	if o.chapter != "" {
		entries = slices.DeleteFunc(entries, func(e *catalogue.Entry) bool { return !strings.EqualFold(e.Chapter, o.chapter) })
	}
	if len(entries) == 0 {
		return exit.Errorf(exit.NotFound, "chapter %q: has no entries", o.chapter).Then("use one of %s", strings.Join(chapters(k.Catalogue), ", "))
	}
	switch a.format {
	case output.JSON, output.YAML:
		return a.out.Document(a.format, map[string]any{"version": k.Version(), "source": k.source, "entries": entries})
	case output.Name:
		for _, e := range entries {
			a.out.Line("%s", e.ID)
		}
		return nil
	}
	output.Rows(a.out, a.format == output.Wide, entryColumns(k.Catalogue), entries)
	return nil
}

func entryColumns(c *catalogue.Catalogue) []output.Column[*catalogue.Entry] {
	return []output.Column[*catalogue.Entry]{
		{Title: "ENTRY", Text: func(e *catalogue.Entry) string { return e.ID }},
		{Title: "TITLE", Text: func(e *catalogue.Entry) string { return e.Title }},
		{Title: "AT", Text: func(e *catalogue.Entry) string { return string(e.Target) }},
		{Title: "REMEDY", Text: func(e *catalogue.Entry) string { return string(e.Remedy.Kind) }},
		{Title: "CHAPTER", Wide: true, Text: func(e *catalogue.Entry) string { return e.Chapter }},
		{Title: "CODES", Wide: true, Text: func(e *catalogue.Entry) string { return list(e.Codes) }},
		{Title: "PACK", Wide: true, Text: func(e *catalogue.Entry) string { return c.PackOf(e.ID) }},
	}
}

// chapters are the names of all chapters, in the guide's order.
func chapters(c *catalogue.Catalogue) (names []string) {
	for _, e := range c.Entries() {
		if !slices.Contains(names, e.Chapter) {
			names = append(names, e.Chapter)
		}
	}
	return names
}

func listPacks(ctx context.Context, a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Catalogue.GetCatalogue(ctx, &fleetv1.GetCatalogueRequest{})
	if err != nil {
		return err
	}
	return printList(a, listing[*fleetv1.Pack]{noun: "packs", document: resp, rows: resp.GetPacks(), columns: packColumns(), name: (*fleetv1.Pack).GetName})
}

func packColumns() []output.Column[*fleetv1.Pack] {
	return []output.Column[*fleetv1.Pack]{
		{Title: "PACK", Text: (*fleetv1.Pack).GetName},
		{Title: "VERSION", Text: (*fleetv1.Pack).GetVersion},
		{Title: "ENTRIES", Text: func(p *fleetv1.Pack) string { return number(p.GetEntries()) }},
		{Title: "KEY", Text: (*fleetv1.Pack).GetKeyId},
		{Title: "BY", Text: (*fleetv1.Pack).GetPublishedBy},
		{Title: "PUBLISHED", Text: func(p *fleetv1.Pack) string { return output.UTC(p.GetPublished()) }},
		{Title: "STATE", Text: packState, Style: packStyle},
		{Title: "SHA256", Wide: true, Text: (*fleetv1.Pack).GetSha256},
	}
}

func packState(p *fleetv1.Pack) string {
	if p.GetProblem() != "" {
		return "NOT IN FORCE: " + p.GetProblem()
	}
	return "in force"
}

func packStyle(p *fleetv1.Pack) output.Style {
	if p.GetProblem() != "" {
		return output.Bad
	}
	return output.Good
}
