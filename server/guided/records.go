package guided

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

var idPattern = regexp.MustCompile(`^[Gg]-[0-9]{1,12}$`)

// read returns a task's record; NOT_FOUND when there is none.
func read(r store.Reader, id string) (*storagev1.GuidedRecord, error) {
	none := access.NotFound(access.Guided, refusal.Shown(id)).At("id").Then("list them with `fleetctl guided list --all`")
	if !idPattern.MatchString(id) {
		return nil, none
	}
	text, err := r.Get(store.TableGuided, store.GuidedKey(strings.ToUpper(id)))
	if errors.Is(err, store.ErrNotFound) {
		return nil, none
	}
	if err != nil {
		return nil, fmt.Errorf("guided task %q: %w", id, err)
	}
	rec := &storagev1.GuidedRecord{}
	if err := proto.Unmarshal(text, rec); err != nil {
		return nil, fmt.Errorf("guided task %q: %w", id, err)
	}
	return rec, nil
}

func (d *Desk) read(ctx context.Context, id string) (rec *storagev1.GuidedRecord, err error) {
	err = d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		rec, err = read(v, id)
		return err
	})
	return rec, err
}

// openFor returns the id of the task that is open for something; empty when none is.
func openFor(r store.Reader, slot string) (string, error) {
	text, err := r.Get(store.TableGuidedOpen, []byte(slot))
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	t := &fleetv1.GuidedTask{}
	err = proto.Unmarshal(text, t)
	return t.GetId(), err
}

// isOpen says that somebody has still to do something.
func isOpen(t *fleetv1.GuidedTask) bool {
	return t.GetState() == fleetv1.GuidedState_GUIDED_STATE_OPEN || t.GetState() == fleetv1.GuidedState_GUIDED_STATE_TAKEN
}

// dueKey is where a record stands in the index of what is due; nil when time does nothing to it.
func dueKey(rec *storagev1.GuidedRecord) []byte {
	at := rec.GetTask().GetDue()
	if !isOpen(rec.GetTask()) {
		at = rec.GetTellFault()
	}
	if at == nil {
		return nil
	}
	return store.GuidedDueKey(at.GetSeconds(), rec.GetTask().GetId())
}

// keep stores a record under a new etag, and what leads to it. before is nil when it is new. It writes at most five keys.
func keep(w store.Writer, before, rec *storagev1.GuidedRecord) error {
	t := rec.GetTask()
	revision, _ := strconv.ParseUint(t.GetEtag(), 10, 64)
	t.Etag = strconv.FormatUint(revision+1, 10)
	err := put(w, store.TableGuided, store.GuidedKey(t.GetId()), rec)
	old, due := []byte(nil), dueKey(rec)
	if before != nil {
		old = dueKey(before)
	}
	if string(old) != string(due) && old != nil {
		err = errors.Join(err, w.Delete(store.TableGuidedDue, old))
	}
	if string(old) != string(due) && due != nil {
		err = errors.Join(err, w.Put(store.TableGuidedDue, due, nil))
	}
	switch {
	case before == nil:
		err = errors.Join(err, put(w, store.TableGuidedOpen, []byte(rec.GetSlot()), &fleetv1.GuidedTask{Id: t.GetId()}))
	case !isOpen(t) && isOpen(before.GetTask()):
		err = errors.Join(err, w.Delete(store.TableGuidedOpen, []byte(rec.GetSlot())))
	}
	return err
}

func put(w store.Writer, table store.Table, key []byte, m proto.Message) error {
	text, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return w.Put(table, key, text)
}

// nextID gives an id that no task ever had.
func nextID(w store.Writer) (string, error) {
	text, err := w.Get(store.TableMeta, store.Key(store.KeyGuided))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	n := store.ParseNumber(text) + 1
	return fmt.Sprintf("G-%d", n), w.Put(store.TableMeta, store.Key(store.KeyGuided), store.Number(n))
}

// errUnchanged ends a change that changes nothing.
var errUnchanged = errors.New("nothing was changed")

// change changes a task, with its audit record. do may return errUnchanged; it may be called more than once.
func (d *Desk) change(ctx context.Context, id string, do func(w store.Writer, rec *storagev1.GuidedRecord) (audit.Entry, error)) (*fleetv1.GuidedTask, error) {
	var after *fleetv1.GuidedTask
	err := d.cfg.Store.Update(ctx, func(w store.Writer) error {
		rec, err := read(w, id)
		if err != nil {
			return err
		}
		before := proto.CloneOf(rec)
		entry, err := do(w, rec)
		after = rec.GetTask()
		if errors.Is(err, errUnchanged) {
			after = before.GetTask()
			return nil
		}
		if err != nil {
			return err
		}
		entry.Site, entry.Object = after.GetSite(), "guided/"+after.GetId()
		return errors.Join(keep(w, before, rec), audit.Append(w, d.cfg.Now(), entry))
	})
	if err != nil {
		return nil, err
	}
	d.poke()
	return after, nil
}

// errClosed refuses what is done to a task that is over.
func errClosed(t *fleetv1.GuidedTask) error {
	return refusal.New(refusal.Precondition, "CLOSED", "guided task %q: was closed by %s at %s (%s)", t.GetId(), t.GetClosedBy(), clock(t.GetClosed()), outcomeWord(t)).
		Then("look at `fleetctl guided show %s`; make a new one if there is more to do", t.GetId())
}
