package cli

import (
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/output"
	"github.com/bandfleet/bandfleet/proto/catalogue"
)

// entryChange is what a pack would do to an entry.
type entryChange struct {
	Entry  string   `yaml:"entry"`
	Change string   `yaml:"change"`
	Fields []string `yaml:"fields,omitempty"`
}

func newCatalogueDiff(a *app) *cobra.Command {
	return packVerb(a, &cobra.Command{
		Use:   "diff FILE",
		Short: "List what a pack would change",
		Long: `Compares a pack with what is in force: with the version of it on the server, when one can be reached, and with the entries that came with
fleetctl. Of an entry that changes, the parts that differ are named.`,
		Example: "  fleetctl catalogue diff lyon.yaml",
	}, func(k *known, pack *catalogue.Pack, _ string) error {
		before := &catalogue.Pack{}
		for _, p := range k.packs {
			if read, err := catalogue.ParsePack(p.GetContent()); err == nil && p.GetName() == pack.Name {
				before = read
			}
		}
		changes := changesOf(k.Catalogue, before, pack)
		if a.format == output.JSON || a.format == output.YAML {
			return a.out.Document(a.format, map[string]any{"pack": pack.Name, "from": before.Version, "to": pack.Version, "changes": changes})
		}
		if len(changes) == 0 {
			a.info.Line("no entry changes")
			return nil
		}
		output.Rows(a.out, a.format == output.Wide, []output.Column[entryChange]{
			{Title: "ENTRY", Text: func(c entryChange) string { return c.Entry }},
			{Title: "CHANGE", Text: func(c entryChange) string { return c.Change }},
			{Title: "PARTS", Text: func(c entryChange) string { return list(c.Fields) }},
		}, changes)
		return nil
	})
}

// changesOf compares a pack with the version before it, and with what is there besides.
func changesOf(base *catalogue.Catalogue, before, after *catalogue.Pack) (changes []entryChange) {
	find := func(p *catalogue.Pack, id string) *catalogue.Entry {
		for _, e := range p.Entries {
			if e.ID == id {
				return e
			}
		}
		return nil
	}
	for _, e := range after.Entries {
		old, word := find(before, e.ID), "changed"
		if old == nil {
			old, word = base.Entry(e.ID), "replaces the one that is there"
		}
		if old == nil {
			changes = append(changes, entryChange{Entry: e.ID, Change: "added"})
		} else if parts := partsThatDiffer(old, e); len(parts) > 0 {
			changes = append(changes, entryChange{e.ID, word, parts})
		}
	}
	for _, e := range before.Entries {
		switch {
		case find(after, e.ID) != nil:
		case base.Entry(e.ID) != nil:
			changes = append(changes, entryChange{Entry: e.ID, Change: "goes back to the one that is there besides"})
		default:
			changes = append(changes, entryChange{Entry: e.ID, Change: "removed"})
		}
	}
	return changes
}

// partsThatDiffer names the parts of an entry, as they are called in YAML.
func partsThatDiffer(a, b *catalogue.Entry) (names []string) {
	va, vb := reflect.ValueOf(*a), reflect.ValueOf(*b)
	for i := range va.NumField() {
		if !reflect.DeepEqual(va.Field(i).Interface(), vb.Field(i).Interface()) {
			tag, _, _ := strings.Cut(va.Type().Field(i).Tag.Get("yaml"), ",")
			names = append(names, tag)
		}
	}
	return slices.DeleteFunc(names, func(n string) bool { return n == "replaces" })
}
