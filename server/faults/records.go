package faults

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	faultPrefix    = "F-"
	incidentPrefix = "I-"
)

func idOf(prefix string, n uint64) string { return prefix + strconv.FormatUint(n, 10) }

// numberOf reads the number out of an id such as "F-1042", in any case; 0 when it is none.
func numberOf(prefix, id string) uint64 {
	rest, ok := strings.CutPrefix(strings.ToUpper(id), prefix)
	n, err := strconv.ParseUint(rest, 10, 64)
	if !ok || err != nil || strconv.FormatUint(n, 10) != rest {
		return 0
	}
	return n
}

// read reads a record; nil when there is none.
func read[T any, M interface {
	*T
	proto.Message
}](r store.Reader, t store.Table, key []byte) (M, error) {
	text, err := r.Get(t, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := M(new(T))
	if err := proto.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("table %q: record %q: %w", t, key, err)
	}
	return m, nil
}

func put(w store.Writer, t store.Table, key []byte, m proto.Message) error {
	text, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return w.Put(t, key, text)
}

func has(r store.Reader, t store.Table, key []byte) (bool, error) {
	_, err := r.Get(t, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func readFault(r store.Reader, n uint64) (*storagev1.FaultRecord, error) {
	return read[storagev1.FaultRecord](r, store.TableFaults, store.Number(n))
}

// mustFault reads a fault by its id; NOT_FOUND when there is none.
func mustFault(r store.Reader, id string) (*storagev1.FaultRecord, error) {
	rec, err := readFault(r, numberOf(faultPrefix, id))
	if err == nil && rec == nil {
		return nil, access.NotFound(access.Fault, id).At("id")
	}
	return rec, err
}

// lastOf reads the last fault of a terminal with an entry and a subject; nil when there was none.
func lastOf(r store.Reader, terminalID, entry, subject string) (*storagev1.FaultRecord, error) {
	text, err := r.Get(store.TableFaultKeys, store.FaultKey(terminalID, entry, subject))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return readFault(r, store.ParseNumber(text))
}

// terminalOf reads a terminal's record by its id; nil when there is none.
func terminalOf(r store.Reader, id string) (*storagev1.TerminalRecord, error) {
	return read[storagev1.TerminalRecord](r, store.TableTerminals, store.TerminalKey(id))
}

// count takes the next number of a counter.
func count(w store.Writer, key string) (uint64, error) {
	text, err := w.Get(store.TableMeta, store.Key(key))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return 0, err
	}
	n := store.ParseNumber(text) + 1
	return n, w.Put(store.TableMeta, store.Key(key), store.Number(n))
}

// indexes are the keys under which a fault is found beside its own.
type indexes struct{ open, due, end []byte }

func indexesOf(rec *storagev1.FaultRecord) (ix indexes) {
	if rec == nil {
		return ix
	}
	f := rec.GetFault()
	n := numberOf(faultPrefix, f.GetId())
	if f.GetState() == fleetv1.FaultState_FAULT_STATE_RESOLVED {
		ix.end = store.PairKey(nanos(f.GetResolved()), n)
		return ix
	}
	ix.open = store.OpenFaultKey(access.Fold(f.GetSite()), n)
	if rec.GetDue() != nil {
		ix.due = store.PairKey(nanos(rec.GetDue()), n)
	}
	return ix
}

func nanos(t *timestamppb.Timestamp) uint64 { return uint64(max(0, t.AsTime().UnixNano())) }

// save writes a fault and its indexes. before is how it was stored, nil when it is new. It writes at most seven keys.
func save(w store.Writer, before, rec *storagev1.FaultRecord) error {
	f := rec.GetFault()
	if f.GetState() == fleetv1.FaultState_FAULT_STATE_RESOLVED {
		rec.Due = nil
	}
	rec.Revision++
	f.Etag = strconv.FormatUint(rec.GetRevision(), 10)
	was, is := indexesOf(before), indexesOf(rec)
	err := errors.Join(
		reindex(w, store.TableOpenFaults, was.open, is.open),
		reindex(w, store.TableDueFaults, was.due, is.due),
		reindex(w, store.TableFaultEnds, was.end, is.end))
	if err != nil {
		return err
	}
	return put(w, store.TableFaults, store.Number(numberOf(faultPrefix, f.GetId())), rec)
}

// reindex moves an entry of an index.
func reindex(w store.Writer, t store.Table, was, is []byte) error {
	if string(was) == string(is) {
		return nil
	}
	var err error
	if was != nil {
		err = w.Delete(t, was)
	}
	if is != nil {
		err = errors.Join(err, w.Put(t, is, nil))
	}
	return err
}

// note adds to a fault's history.
func note(f *fleetv1.Fault, now time.Time, actor, text string) {
	f.History = append(f.GetHistory(), &fleetv1.FaultEvent{
		Time: timestamppb.New(now), Actor: actor, Text: text, State: f.GetState(), JobId: f.GetJobId(),
	})
	if extra := len(f.GetHistory()) - keptEvents; extra > 0 {
		f.History = f.GetHistory()[extra:]
	}
}

// Get reads a fault.
func (d *Desk) Get(ctx context.Context, id string) (f *fleetv1.Fault, err error) {
	err = d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		rec, err := mustFault(v, id)
		f = rec.GetFault()
		return err
	})
	return f, err
}

// Sites returns the site of a fault, or NOT_FOUND.
func (d *Desk) Sites(ctx context.Context, id string) ([]string, error) {
	f, err := d.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return []string{f.GetSite()}, nil
}

// asChanges makes audit changes of names and new values in turn.
func asChanges(pairs ...string) (changes []*storagev1.AuditChange) {
	for n := 0; n+1 < len(pairs); n += 2 {
		changes = append(changes, audit.Change(pairs[n], "", line(pairs[n+1], maxNote)))
	}
	return changes
}
