package inventory

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/store"
)

// stageAtOnce is how many parts of an import one update writes, and one forgets.
const stageAtOnce = 100

// takeImport makes a plan last and then does it. An error from before it is READY leaves nothing; one after that leaves it to be
// finished.
func (i *Inventory) takeImport(ctx context.Context, p *access.Principal, plan *importPlan, req *fleetv1.ImportRequest, request *requests.Request) (*fleetv1.ImportResponse, []string, error) {
	id, err := ulid.New(ulid.Timestamp(i.now()), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	rec := &storagev1.ImportRecord{
		Id: id.String(), State: storagev1.ImportState_IMPORT_STATE_PREPARING, Kind: req.GetKind(),
		Operator: p.Name.ID, Reason: req.GetReason(), Time: timestamppb.New(i.now()),
	}
	if err := i.stage(ctx, rec, plan, request); err != nil {
		return nil, nil, errors.Join(err, i.discardUnready(context.WithoutCancel(ctx), rec.GetId()))
	}
	// The caller may go away; what is READY is done all the same.
	ctx = context.WithoutCancel(ctx)
	changed, err := i.finishImport(ctx, rec)
	if err != nil {
		return nil, changed, err
	}
	counts, err := view[storagev1.ImportRecord](ctx, i.store, store.TableImports, store.ImportKey(rec.GetId()), nil)
	return addCounts(counts.GetCounts(), nil), changed, err
}

// discardUnready removes what a failed stage has left, if it can; if not, it is removed before the next import. Only what the store
// itself says is not READY is removed.
func (i *Inventory) discardUnready(ctx context.Context, id string) error {
	rec, err := view[storagev1.ImportRecord](ctx, i.store, store.TableImports, store.ImportKey(id), nil)
	if err != nil || rec.GetState() != storagev1.ImportState_IMPORT_STATE_PREPARING {
		return err
	}
	// Its error would only repeat why the stage failed.
	_ = i.discardImport(ctx, id)
	return nil
}

// stage writes the record, the parts, and last the one update that makes the import READY.
func (i *Inventory) stage(ctx context.Context, rec *storagev1.ImportRecord, plan *importPlan, request *requests.Request) error {
	parts, err := plan.parts()
	if err != nil {
		return err
	}
	err = i.store.Update(ctx, func(w store.Writer) error {
		return write(w, store.TableImports, store.ImportKey(rec.GetId()), rec)
	})
	if err != nil {
		return err
	}
	place := uint32(0)
	for some := range slices.Chunk(parts, stageAtOnce) {
		if err := i.stageParts(ctx, rec.GetId(), place, some); err != nil {
			return err
		}
		place += uint32(len(some))
	}
	ready := proto.CloneOf(rec)
	ready.State = storagev1.ImportState_IMPORT_STATE_READY
	// Not to be cut short by the caller: an error must mean that it was not written.
	return i.store.Update(context.WithoutCancel(ctx), func(w store.Writer) error {
		if err := request.Remember(w, i.now(), rec.GetId()); err != nil {
			return err
		}
		return write(w, store.TableImports, store.ImportKey(rec.GetId()), ready)
	})
}

func (i *Inventory) stageParts(ctx context.Context, id string, first uint32, parts []*storagev1.ImportPart) error {
	return i.store.Update(ctx, func(w store.Writer) error {
		for n, part := range parts {
			if err := write(w, store.TableImportParts, store.ImportPartKey(id, first+uint32(n)), part); err != nil {
				return err
			}
		}
		return nil
	})
}

// parts cuts a plan into what one update can do each: rows of one site, so that it appends to one audit chain. The accounts
// of the sites come last.
func (p *importPlan) parts() (parts []*storagev1.ImportPart, err error) {
	sites := slices.Sorted(maps.Keys(p.sites))
	var accounts []*storagev1.ImportPart
	for _, site := range sites {
		total := &storagev1.ImportTotal{Rows: uint32(len(p.sites[site]))}
		if total.Sha256, err = digest(p.sites[site]); err != nil {
			return nil, err
		}
		for rows := range slices.Chunk(p.sites[site], p.kind.rowsAtOnce()) {
			parts = append(parts, &storagev1.ImportPart{Site: site, Rows: rows, Account: uint32(len(accounts))})
		}
		accounts = append(accounts, &storagev1.ImportPart{Site: site, Total: total})
	}
	for _, part := range parts {
		part.Account += uint32(len(parts))
	}
	return append(parts, accounts...), nil
}

// discardImport forgets an import, its record last, so that a discard that is cut short is taken up again.
func (i *Inventory) discardImport(ctx context.Context, id string) error {
	for {
		keys, err := i.partKeys(ctx, id, stageAtOnce)
		if err != nil {
			return err
		}
		err = i.store.Update(ctx, func(w store.Writer) error {
			for _, key := range keys {
				if err := w.Delete(store.TableImportParts, key); err != nil {
					return err
				}
			}
			if len(keys) < stageAtOnce {
				return w.Delete(store.TableImports, store.ImportKey(id))
			}
			return nil
		})
		if err != nil || len(keys) < stageAtOnce {
			return err
		}
	}
}
