package inventory

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// maxShownRows is how many bad rows are named; all are counted.
const maxShownRows = 100

// importPlan is what a table means: its rows by site, each site's in their order in the table.
type importPlan struct {
	kind   importKind
	sites  map[string][]*storagev1.ImportedRow
	counts *fleetv1.ImportResponse
}

// answer is what a dry run tells; nil when there is no plan.
func (p *importPlan) answer() *fleetv1.ImportResponse {
	if p == nil {
		return nil
	}
	return p.counts
}

// planner checks the rows of a table one after the other.
type planner struct {
	plan    *importPlan
	look    *lookup
	columns []string
	// lines are where an object was named first.
	lines map[string]uint32
	bad   int
	shown []refusal.Violation
}

// planImport checks every row, in several short views.
func (i *Inventory) planImport(ctx context.Context, p *access.Principal, kind importKind, req *fleetv1.ImportRequest) (*importPlan, error) {
	c := &planner{
		plan:    &importPlan{kind: kind, sites: map[string][]*storagev1.ImportedRow{}, counts: &fleetv1.ImportResponse{}},
		look:    &lookup{p: p, sites: map[string]string{}},
		columns: req.GetColumns(), lines: map[string]uint32{},
	}
	first := 0
	for rows := range slices.Chunk(req.GetRows(), scanChunk) {
		err := i.store.View(ctx, func(v store.Snapshot) error { return c.rows(v, first, rows) })
		if err != nil {
			return nil, err
		}
		first += len(rows)
	}
	if c.bad == 0 {
		return c.plan, nil
	}
	message := fmt.Sprintf("import of %s: bad rows: %d of %d; nothing was imported", kind.word(), c.bad, len(req.GetRows()))
	if c.bad > len(c.shown) {
		message += fmt.Sprintf("; the first %d are named", len(c.shown))
	}
	return nil, refusal.New(refusal.Invalid, "BAD_ROWS", "%s", message).With(c.shown...).Then("correct these lines, and import the table again")
}

func (c *planner) rows(v store.Snapshot, first int, rows []*fleetv1.ImportRow) error {
	c.look.r = v
	for n, row := range rows {
		problems, err := c.row(row)
		if err != nil {
			return err
		}
		if len(problems) == 0 {
			continue
		}
		if c.bad++; len(c.shown) < maxShownRows {
			c.shown = append(c.shown, refusal.Violation{
				Field: fmt.Sprintf("rows[%d]", first+n), Text: fmt.Sprintf("line %d: %s", row.GetLine(), strings.Join(problems, "; ")),
			})
		}
	}
	return nil
}

// row takes a row into the plan, or says what is wrong with it.
func (c *planner) row(row *fleetv1.ImportRow) (problems []string, err error) {
	if len(row.GetCells()) != len(c.columns) {
		return []string{fmt.Sprintf("has %d cells, want %d", len(row.GetCells()), len(c.columns))}, nil
	}
	cells := map[string]string{}
	for n, cell := range row.GetCells() {
		if cell != "" || c.columns[n] == c.plan.kind.keyColumn() {
			cells[c.columns[n]] = cell
		}
	}
	s, err := c.plan.kind.look(c.look, cells)
	if err != nil {
		return nil, err
	}
	key := c.plan.kind.keyColumn()
	if s.object == "" {
		s.object = access.Fold(cells[key])
	}
	if line, twice := c.lines[s.object]; twice {
		s.problem(key, cells[key], "is in line %d already", line)
	} else {
		c.lines[s.object] = row.GetLine()
	}
	if len(s.problems) == 0 {
		tally(c.plan.counts, s.outcome)
		c.plan.sites[s.site] = append(c.plan.sites[s.site], &storagev1.ImportedRow{Object: s.object, Cells: cells})
	}
	return s.problems, nil
}

// digest is the SHA-256 over rows, as the contract of the store has it.
func digest(rows []*storagev1.ImportedRow) ([]byte, error) {
	sum := sha256.New()
	for _, row := range rows {
		text, err := proto.MarshalOptions{Deterministic: true}.Marshal(row)
		if err != nil {
			return nil, err
		}
		_, _ = sum.Write(binary.BigEndian.AppendUint32(nil, uint32(len(text))))
		_, _ = sum.Write(text)
	}
	return sum.Sum(nil), nil
}
