package guided

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/paging"
	"github.com/bandfleet/bandfleet/server/store"
)

// scanChunk is how much one view reads: views must be short.
const scanChunk = 500

// Get returns a task.
func (d *Desk) Get(ctx context.Context, id string) (*fleetv1.GuidedTask, error) {
	rec, err := d.read(ctx, id)
	return rec.GetTask(), err
}

// Sites returns the site of a task, or NOT_FOUND.
func (d *Desk) Sites(ctx context.Context, id string) ([]string, error) {
	rec, err := d.read(ctx, id)
	return []string{rec.GetTask().GetSite()}, err
}

// OfBand lists the open tasks for a band.
func (d *Desk) OfBand(ctx context.Context, serial string) (ids []string, err error) {
	slots, err := d.openSlots(ctx, store.Prefix("band", access.Fold(serial)))
	for _, s := range slots {
		ids = append(ids, s.id)
	}
	return ids, err
}

// List returns tasks of the caller's sites: open ones by urgency and the time by which they are due, then, when asked for, closed ones, the
// newest first.
func (d *Desk) List(ctx context.Context, p *access.Principal, r *fleetv1.ListGuidedTasksRequest) (*fleetv1.ListGuidedTasksResponse, error) {
	size, err := paging.Size(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	after, err := lastOf(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	found, err := d.matching(ctx, p, r)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, compare)
	found = slices.DeleteFunc(found, func(t *fleetv1.GuidedTask) bool { return after != nil && compare(t, after) <= 0 })
	resp := &fleetv1.ListGuidedTasksResponse{Tasks: found[:min(size, len(found))]}
	if len(found) > size {
		resp.NextPageToken = tokenOf(found[size-1])
	}
	return resp, nil
}

// matching reads every task that is asked for.
func (d *Desk) matching(ctx context.Context, p *access.Principal, r *fleetv1.ListGuidedTasksRequest) (found []*fleetv1.GuidedTask, err error) {
	pick := func(t *fleetv1.GuidedTask) {
		if p.May(access.Read, t.GetSite()) && matches(t, r) {
			found = append(found, t)
		}
	}
	if r.GetIncludeClosed() {
		return found, d.each(ctx, func(rec *storagev1.GuidedRecord) { pick(rec.GetTask()) })
	}
	slots, err := d.openSlots(ctx, nil)
	if err != nil {
		return nil, err
	}
	for chunk := range slices.Chunk(slots, scanChunk) {
		err = d.cfg.Store.View(ctx, func(v store.Snapshot) error {
			for _, s := range chunk {
				rec, err := read(v, s.id)
				if err != nil {
					return err
				}
				if isOpen(rec.GetTask()) {
					pick(rec.GetTask())
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func matches(t *fleetv1.GuidedTask, r *fleetv1.ListGuidedTasksRequest) bool {
	is := func(wanted string, have ...string) bool {
		return wanted == "" || slices.ContainsFunc(have, func(h string) bool { return strings.EqualFold(h, wanted) })
	}
	return is(r.GetSite(), t.GetSite()) && is(r.GetAssignee(), t.GetAssignee()) && is(r.GetTerminal(), t.GetTerminalId(), t.GetTerminalName()) &&
		is(r.GetBand(), t.GetBand())
}

// compare orders tasks as people should look at them.
func compare(a, b *fleetv1.GuidedTask) int {
	if isOpen(a) != isOpen(b) {
		return map[bool]int{true: -1, false: 1}[isOpen(a)]
	}
	byID := cmp.Compare(store.Ordinal(a.GetId()), store.Ordinal(b.GetId()))
	if !isOpen(a) {
		return cmp.Or(cmp.Compare(b.GetClosed().AsTime().UnixNano(), a.GetClosed().AsTime().UnixNano()), byID)
	}
	const never = int64(1) << 62
	due := func(t *fleetv1.GuidedTask) int64 {
		if t.GetDue() == nil {
			return never
		}
		return t.GetDue().AsTime().UnixNano()
	}
	return cmp.Or(cmp.Compare(b.GetPriority(), a.GetPriority()), cmp.Compare(due(a), due(b)), byID)
}

// tokenOf holds what the order goes by of the last task of a page, so that the next page is right whatever became of that task.
func tokenOf(t *fleetv1.GuidedTask) string {
	text, _ := proto.Marshal(&fleetv1.GuidedTask{Id: t.GetId(), State: t.GetState(), Priority: t.GetPriority(), Due: t.GetDue(), Closed: t.GetClosed()}) // plain fields
	return base64.RawURLEncoding.EncodeToString(text)
}

func lastOf(token string) (*fleetv1.GuidedTask, error) {
	if token == "" {
		return nil, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	t := &fleetv1.GuidedTask{}
	if err != nil || proto.Unmarshal(text, t) != nil || !idPattern.MatchString(t.GetId()) {
		return nil, paging.BadToken()
	}
	return t, nil
}

// slot is what a task is open for.
type slot struct{ name, id string }

// openSlots reads the index of what is open, under a prefix.
func (d *Desk) openSlots(ctx context.Context, prefix []byte) (slots []slot, err error) {
	err = scanAll(ctx, d.cfg.Store, store.TableGuidedOpen, prefix, func(key, value []byte) error {
		t := &fleetv1.GuidedTask{}
		err := proto.Unmarshal(value, t)
		slots = append(slots, slot{string(key), t.GetId()})
		return err
	})
	return slots, err
}

// each reads every task.
func (d *Desk) each(ctx context.Context, do func(*storagev1.GuidedRecord)) error {
	return scanAll(ctx, d.cfg.Store, store.TableGuided, nil, func(_, value []byte) error {
		rec := &storagev1.GuidedRecord{}
		err := proto.Unmarshal(value, rec)
		do(rec)
		return err
	})
}

// scanAll reads what lies under a prefix, in several short views. What changes meanwhile may be seen or not.
func scanAll(ctx context.Context, st store.Store, table store.Table, prefix []byte, do func(key, value []byte) error) error {
	var from []byte
	for {
		n, failed := 0, error(nil)
		err := st.View(ctx, func(v store.Snapshot) error {
			return v.Scan(table, prefix, from, func(key, value []byte) bool {
				n++
				failed = do(key, value)
				from = append(bytes.Clone(key), 0)
				return failed == nil && n < scanChunk
			})
		})
		if err = errors.Join(err, failed); err != nil || n < scanChunk {
			return err
		}
	}
}
