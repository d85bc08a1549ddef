package inventory

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/store"
)

// partsAtOnce is how many parts are under way together, so that they share a commit.
const partsAtOnce = 16

// importRetention is how long the answer of an import is kept: longer than the request is remembered that asks for it.
const importRetention = requests.Retention + 24*time.Hour

// finishImports brings every import to its end. It returns the sites that imports of sites have changed.
func (i *Inventory) finishImports(ctx context.Context) (changed []string, err error) {
	var all []*storagev1.ImportRecord
	err = scanAll(ctx, i.store, store.TableImports, nil, nil, func(_, value []byte) (bool, error) {
		rec := &storagev1.ImportRecord{}
		all = append(all, rec)
		return true, proto.Unmarshal(value, rec)
	})
	for _, rec := range all {
		if err != nil {
			break
		}
		var more []string
		switch old := i.now().Sub(rec.GetTime().AsTime()) > importRetention; {
		case rec.GetState() == storagev1.ImportState_IMPORT_STATE_READY:
			more, err = i.finishImport(ctx, rec)
		case rec.GetState() == storagev1.ImportState_IMPORT_STATE_PREPARING, old:
			err = i.discardImport(ctx, rec.GetId())
		}
		changed = append(changed, more...)
	}
	return changed, err
}

// finishImport carries out the parts that are left of a READY import. Each goes with what it does in one transaction, so that none
// is done twice.
func (i *Inventory) finishImport(ctx context.Context, rec *storagev1.ImportRecord) (changed []string, err error) {
	for {
		some, err := i.someParts(ctx, rec.GetId())
		if err != nil {
			return changed, err
		}
		if len(some) == 0 {
			return changed, i.closeImport(ctx, rec.GetId())
		}
		var group errgroup.Group
		for place, part := range some {
			group.Go(func() error { return i.finishPart(ctx, rec, place, part) })
			if rec.GetKind() == fleetv1.ImportKind_IMPORT_KIND_SITES {
				changed = append(changed, objectsOf(part)...)
			}
		}
		if err := group.Wait(); err != nil {
			return changed, fmt.Errorf("import %q: is taken and not finished: %w", rec.GetId(), err)
		}
	}
}

func objectsOf(part *storagev1.ImportPart) (objects []string) {
	for _, row := range part.GetRows() {
		objects = append(objects, row.GetObject())
	}
	return objects
}

func (i *Inventory) closeImport(ctx context.Context, id string) error {
	return i.store.Update(ctx, func(w store.Writer) error {
		rec, err := readImport(w, id)
		if err != nil {
			return err
		}
		rec.State = storagev1.ImportState_IMPORT_STATE_DONE
		return write(w, store.TableImports, store.ImportKey(id), rec)
	})
}

// someParts returns the next parts by their places. Accounts come only when no rows are left.
func (i *Inventory) someParts(ctx context.Context, id string) (map[uint32]*storagev1.ImportPart, error) {
	some := map[uint32]*storagev1.ImportPart{}
	rows := false
	err := i.eachPart(ctx, id, func(place uint32, part *storagev1.ImportPart) bool {
		if rows && part.GetTotal() != nil {
			return false
		}
		rows = part.GetTotal() == nil
		some[place] = part
		return len(some) < partsAtOnce
	})
	return some, err
}

func (i *Inventory) eachPart(ctx context.Context, id string, fn func(place uint32, part *storagev1.ImportPart) bool) error {
	return i.store.View(ctx, func(v store.Snapshot) error {
		var bad error
		err := v.Scan(store.TableImportParts, store.ImportKey(id), nil, func(key, value []byte) bool {
			part := &storagev1.ImportPart{}
			bad = proto.Unmarshal(value, part)
			return bad == nil && fn(store.ImportPartPlace(key), part)
		})
		if err == nil {
			err = bad
		}
		return err
	})
}

func (i *Inventory) partKeys(ctx context.Context, id string, most int) (keys [][]byte, err error) {
	err = i.store.View(ctx, func(v store.Snapshot) error {
		return v.Scan(store.TableImportParts, store.ImportKey(id), nil, func(key, _ []byte) bool {
			keys = append(keys, bytes.Clone(key))
			return len(keys) < most
		})
	})
	return keys, err
}

func (i *Inventory) finishPart(ctx context.Context, rec *storagev1.ImportRecord, place uint32, part *storagev1.ImportPart) error {
	return i.store.Update(ctx, func(w store.Writer) error {
		key := store.ImportPartKey(rec.GetId(), place)
		if left, err := has(w, store.TableImportParts, key); err != nil || !left {
			return err
		}
		var err error
		if part.GetTotal() != nil {
			err = i.account(w, rec.GetId(), key)
		} else {
			err = i.finishRows(w, rec, part)
		}
		if err != nil {
			return err
		}
		return w.Delete(store.TableImportParts, key)
	})
}

// finishRows carries out the rows of a part, and notes in the site's account what became of them.
func (i *Inventory) finishRows(w store.Writer, rec *storagev1.ImportRecord, part *storagev1.ImportPart) error {
	kind := i.kindOfImport(rec.GetKind())
	if kind == nil {
		return fmt.Errorf("import %q: kind %d is not known", rec.GetId(), rec.GetKind())
	}
	o := order{by: identity.Name{Kind: identity.KindOperator, ID: rec.GetOperator()}, reason: rec.GetReason(), site: part.GetSite()}
	counts := &fleetv1.ImportResponse{}
	var told []*storagev1.AuditChange
	for _, row := range part.GetRows() {
		became, change, err := kind.carryOut(w, o, row)
		if err != nil {
			return fmt.Errorf("%s %q: %w", kind.word(), row.GetObject(), err)
		}
		tally(counts, became)
		if change != nil {
			told = append(told, change)
		}
	}
	if len(told) > 0 {
		err := audit.Append(w, i.now(), audit.Entry{
			Site: o.site, Actor: o.by, Verb: "import." + kind.word() + ".rows", Object: "import/" + rec.GetId(), Reason: o.reason, Changes: told,
		})
		if err != nil {
			return err
		}
	}
	return noteOutcome(w, store.ImportPartKey(rec.GetId(), part.GetAccount()), counts)
}

func noteOutcome(w store.Writer, key []byte, counts *fleetv1.ImportResponse) error {
	account, err := read[storagev1.ImportPart](w, store.TableImportParts, key, fmt.Errorf("import: account %q is missing", key))
	if err != nil {
		return err
	}
	if account.GetTotal() == nil {
		return fmt.Errorf("import: part %q is no account", key)
	}
	account.Total.Counts = addCounts(account.GetTotal().GetCounts(), counts)
	return write(w, store.TableImportParts, key, account)
}

// account closes the account of a site: one audit record says what was imported there. It is read anew, for the parts before it
// have written to it.
func (i *Inventory) account(w store.Writer, id string, key []byte) error {
	part, err := read[storagev1.ImportPart](w, store.TableImportParts, key, fmt.Errorf("import: account %q is missing", key))
	if err != nil {
		return err
	}
	rec, err := readImport(w, id)
	if err != nil {
		return err
	}
	total := part.GetTotal()
	rec.Counts = addCounts(rec.GetCounts(), total.GetCounts())
	if err := write(w, store.TableImports, store.ImportKey(id), rec); err != nil {
		return err
	}
	number := func(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
	return audit.Append(w, i.now(), audit.Entry{
		Site: part.GetSite(), Actor: identity.Name{Kind: identity.KindOperator, ID: rec.GetOperator()},
		Verb: "import." + i.kindOfImport(rec.GetKind()).word(), Object: "import/" + id, Reason: rec.GetReason(),
		Changes: []*storagev1.AuditChange{
			audit.Change("rows", "", number(total.GetRows())), audit.Change("sha256", "", hex.EncodeToString(total.GetSha256())),
			audit.Change("created", "", number(total.GetCounts().GetCreated())), audit.Change("changed", "", number(total.GetCounts().GetChanged())),
			audit.Change("unchanged", "", number(total.GetCounts().GetUnchanged())), audit.Change("moot", "", number(total.GetCounts().GetMoot())),
		},
	})
}
