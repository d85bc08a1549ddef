package inventory

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/store"
)

// Limits of one import. They bound what a check holds in memory.
const (
	maxImportRows    = 100_000
	maxImportBytes   = 3 << 20
	maxImportColumns = 1 + maxLabels
)

// Import takes the rows of a table: all of them or none, even when the server dies in the middle. It checks them all, writes what
// is to be done into the store in parts, and makes the whole READY with one write; up to that write nothing has happened, and
// after it everything will, at the next start if need be. What others change between check and turn is respected: a row whose
// terminal or band is somewhere else by then comes to nothing and is counted as moot.
//
// changed are the sites that an import of sites has changed, also when there is an error.
func (i *Inventory) Import(ctx context.Context, p *access.Principal, req *fleetv1.ImportRequest) (counts *fleetv1.ImportResponse, changed []string, err error) {
	kind, err := i.checkImport(p, req)
	if err != nil {
		return nil, nil, err
	}
	request, err := requests.New(p.Name.String(), "import", req)
	if err != nil {
		return nil, nil, err
	}
	// One at a time: it bounds the memory, and no two imports can make each other's checks untrue.
	if !i.importing.TryLock() {
		return nil, nil, refusal.New(refusal.Unavailable, "IMPORT_RUNNING", "import of %s: another import is running", kind.word()).
			Then("try again in a minute")
	}
	defer i.importing.Unlock()
	if changed, err = i.finishImports(ctx); err != nil {
		return nil, changed, err
	}
	if counts, err = i.answeredImport(ctx, request); err != nil || counts != nil {
		return counts, changed, err
	}
	plan, err := i.planImport(ctx, p, kind, req)
	if err != nil || req.GetDryRun() {
		return plan.answer(), changed, err
	}
	counts, more, err := i.takeImport(ctx, p, plan, req, request)
	return counts, append(changed, more...), err
}

// FinishImports carries out what a server that died has left READY, and forgets what it has left unready or is old. It is
// called at the start, before anything else looks at what it may change.
func (i *Inventory) FinishImports(ctx context.Context) error {
	i.importing.Lock()
	defer i.importing.Unlock()
	_, err := i.finishImports(ctx)
	return err
}

// answeredImport returns what the same request came to before, or nil.
func (i *Inventory) answeredImport(ctx context.Context, request *requests.Request) (counts *fleetv1.ImportResponse, err error) {
	err = i.store.View(ctx, func(v store.Snapshot) error {
		id, err := request.Done(v)
		if err != nil || id == "" {
			return err
		}
		rec, err := readImport(v, id)
		if err != nil {
			return err
		}
		counts = &fleetv1.ImportResponse{}
		proto.Merge(counts, rec.GetCounts())
		return nil
	})
	return counts, err
}

func readImport(r store.Reader, id string) (*storagev1.ImportRecord, error) {
	return read[storagev1.ImportRecord](r, store.TableImports, store.ImportKey(id), fmt.Errorf("import %q: its record is missing", id))
}

// checkImport checks what needs no look at the rows.
func (i *Inventory) checkImport(p *access.Principal, req *fleetv1.ImportRequest) (importKind, error) {
	if len(req.ProtoReflect().GetUnknown()) > 0 {
		return nil, refusal.New(refusal.Invalid, "UNKNOWN_FIELD", "import: has a field that this server does not know").
			Then("bring the server up to date")
	}
	kind := i.kindOfImport(req.GetKind())
	switch {
	case kind == nil:
		return nil, refusal.New(refusal.Invalid, "BAD_KIND", "import of kind %d: there is no such kind", req.GetKind()).At("kind")
	case len(req.GetRows()) == 0:
		return nil, refusal.New(refusal.Invalid, "NOTHING_TO_DO", "import of %s: has no rows", kind.word()).At("rows")
	case len(req.GetRows()) > maxImportRows:
		return nil, refusal.New(refusal.Invalid, "TOO_LARGE", "import of %s: has %d rows, at most %d are allowed", kind.word(), len(req.GetRows()), maxImportRows).
			At("rows").Then("import it in pieces")
	case proto.Size(req) > maxImportBytes:
		return nil, refusal.New(refusal.Invalid, "TOO_LARGE", "import of %s: is %d bytes, at most %d are allowed", kind.word(), proto.Size(req), maxImportBytes).
			At("rows").Then("import it in pieces")
	}
	return kind, cmp.Or(kind.mayImport(p), checkColumns(kind, req.GetColumns()), wantText("reason", req.GetReason(), "reason", maxReason))
}

func checkColumns(kind importKind, columns []string) error {
	bad := func(n int, format string, args ...any) error {
		return refusal.New(refusal.Invalid, "BAD_COLUMN", "column %q: %s", clipped(columns[n]), fmt.Sprintf(format, args...)).
			At(fmt.Sprintf("columns[%d]", n)).Then("correct the first line of the table")
	}
	for n, c := range columns {
		switch problem := kind.columnProblem(c); {
		case n == maxImportColumns:
			return bad(n, "at most %d columns are allowed", maxImportColumns)
		case slices.Index(columns, c) != n:
			return bad(n, "is there twice")
		case problem != "":
			return bad(n, "%s", problem)
		}
	}
	if !slices.Contains(columns, kind.keyColumn()) {
		return refusal.New(refusal.Invalid, "BAD_COLUMN", "column %q: is missing", kind.keyColumn()).At("columns").
			Then("name the columns in the first line of the table")
	}
	return nil
}
