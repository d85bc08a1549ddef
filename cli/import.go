package cli

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// importPatience is how long an import may take at least: 100,000 rows are many writes.
const importPatience = 2 * time.Minute

// importedThing is what one of the import verbs imports.
type importedThing struct {
	kind fleetv1.ImportKind
	// noun is what a row is.
	noun, short, long, example string
}

type importOptions struct {
	file, reason string
	dryRun       bool
}

func newSiteImport(a *app) *cobra.Command {
	return newImport(a, importedThing{
		kind: fleetv1.ImportKind_IMPORT_KIND_SITES, noun: "site", short: "Add and change sites from a table",
		long: `Adds the sites of a table and changes those that are there. Columns: name; and if you like description and time_zone. Only an
administrator of all sites may do it.`,
		example: "  fleetctl site import sites.csv --dry-run\n  fleetctl site import sites.csv --reason INC-4711",
	})
}

func newTerminalImport(a *app) *cobra.Command {
	return newImport(a, importedThing{
		kind: fleetv1.ImportKind_IMPORT_KIND_LABELS, noun: "terminal", short: "Set labels of terminals from a table",
		long: `Sets labels of the terminals of a table. Column: terminal, by name or id; each other column is a label. The cell "-" removes a
label. Only an administrator of the terminals' sites may do it.`,
		example: "  fleetctl terminal import labels.csv --dry-run\n  cat labels.csv | fleetctl terminal import -",
	})
}

func newBandImport(a *app) *cobra.Command {
	return newImport(a, importedThing{
		kind: fleetv1.ImportKind_IMPORT_KIND_BANDS, noun: "band", short: "Add and change bands from a table",
		long: `Adds the bands of a table and changes those that are there. Columns: serial; for new bands site; and if you like status,
firmware_version, wearer and note. Bands are not moved to another site. Only an administrator of the bands' sites may do it.`,
		example: "  fleetctl band import bands.csv --dry-run\n  fleetctl band import bands.csv --reason \"delivery 2026-11\"",
	})
}

// importRules hold for every table.
const importRules = `

The table is CSV in UTF-8 with commas or semicolons; its first line names the columns. An empty cell leaves what is there. All
rows are checked first: when one is bad, every bad one is named with its line and nothing is imported. Otherwise all are, even
if the server is stopped in the middle. At most 100,000 rows in 3 MiB. "-" reads standard input.`

func newImport(a *app, thing importedThing) *cobra.Command {
	o := &importOptions{}
	c := &cobra.Command{
		Use:     "import FILE",
		Short:   thing.short,
		Long:    thing.long + importRules,
		Example: thing.example,
		Args:    takes(1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.file = args[0]
			if !cmd.Flags().Changed("request-timeout") {
				a.timeout = max(a.timeout, importPatience)
			}
			return runImport(cmd.Context(), a, thing, o)
		},
	}
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "check the table and say what would be done")
	addReason(c, &o.reason)
	return c
}

func runImport(ctx context.Context, a *app, thing importedThing, o *importOptions) error {
	t, err := readTable(o.file, a.stdin)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	counts, err := c.Inventory.Import(ctx, &fleetv1.ImportRequest{
		Kind: thing.kind, Columns: t.columns, Rows: t.rows, DryRun: o.dryRun, Reason: o.reason, RequestId: ulid.Make().String(),
	})
	if err != nil {
		return namingLines(err)
	}
	return printObject(a, counts, o.file, func() { a.out.Line("%s", importWords(thing, counts, o.dryRun)) })
}

// importWords says what an import came to, or would.
func importWords(thing importedThing, n *fleetv1.ImportResponse, dryRun bool) string {
	words := []string{fmt.Sprintf("%d added", n.GetCreated()), fmt.Sprintf("%d changed", n.GetChanged()), fmt.Sprintf("%d as they were", n.GetUnchanged())}
	if n.GetMoot() > 0 {
		words = append(words, fmt.Sprintf("%d left alone, because somebody else changed or moved them meanwhile", n.GetMoot()))
	}
	total := n.GetCreated() + n.GetChanged() + n.GetUnchanged() + n.GetMoot()
	text := output.Count(total, thing.noun) + ": " + strings.Join(words, ", ")
	if dryRun {
		text += "; dry run, nothing was changed"
	}
	return text
}

// namingLines leaves out the API's own places of rows: the texts name the lines of the file.
func namingLines(err error) error {
	place := regexp.MustCompile(`^rows\[\d+\]: `)
	e := exit.From(err)
	for n, detail := range e.Details {
		e.Details[n] = place.ReplaceAllString(detail, "")
	}
	return e
}
