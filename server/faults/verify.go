package faults

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// Verify compares faults with their indexes, and incidents with their members. The error names the first that does not agree; found says in
// words how many there are.
func Verify(ctx context.Context, st store.Store) (found string, err error) {
	err = st.View(ctx, func(v store.Snapshot) error {
		c := &census{v: v, open: map[string]uint32{}}
		if err := c.faults(ctx); err != nil {
			return err
		}
		incidents, err := c.incidents()
		found = fmt.Sprintf("%d faults, %d of them open, %d incidents", c.total, c.opened, incidents)
		return err
	})
	return found, err
}

// census counts faults, and what the indexes must hold.
type census struct {
	v                  store.Snapshot
	total, opened, due int
	// open are open members by incident.
	open map[string]uint32
}

func (c *census) faults(ctx context.Context) error {
	err := scan(c.v, store.TableFaults, func(key, text []byte) error {
		rec := &storagev1.FaultRecord{}
		if err := errors.Join(ctx.Err(), proto.Unmarshal(text, rec)); err != nil {
			return err
		}
		return c.fault(key, rec)
	})
	if err != nil {
		return err
	}
	for table, want := range map[store.Table]int{
		store.TableOpenFaults: c.opened, store.TableDueFaults: c.due, store.TableFaultEnds: c.total - c.opened,
	} {
		n := 0
		if err := c.v.Scan(table, nil, nil, func(_, _ []byte) bool { n++; return true }); err != nil {
			return err
		}
		if n != want {
			return fmt.Errorf("table %q: holds %d records, and %d belong there", table, n, want)
		}
	}
	return nil
}

func (c *census) fault(key []byte, rec *storagev1.FaultRecord) error {
	if n := store.ParseNumber(key); idOf(faultPrefix, n) != rec.GetFault().GetId() {
		return fmt.Errorf("it is of fault %q", rec.GetFault().GetId())
	}
	ix := indexesOf(rec)
	c.total++
	for table, key := range map[store.Table][]byte{store.TableOpenFaults: ix.open, store.TableDueFaults: ix.due, store.TableFaultEnds: ix.end} {
		if key == nil {
			continue
		}
		if _, err := c.v.Get(table, key); err != nil {
			return fmt.Errorf("its entry in table %q: %w", table, err)
		}
	}
	if ix.due != nil {
		c.due++
	}
	if ix.open == nil {
		return nil
	}
	c.opened++
	c.open[rec.GetFault().GetIncident()]++
	f := rec.GetFault()
	if last, err := lastOf(c.v, f.GetTerminalId(), f.GetEntry(), f.GetSubject()); err != nil || last.GetFault().GetId() != f.GetId() {
		return errors.Join(err, fmt.Errorf("it is not the last one of its terminal, entry and subject"))
	}
	return nil
}

func (c *census) incidents() (n int, err error) {
	err = scan(c.v, store.TableIncidents, func(_, text []byte) error {
		rec := &storagev1.IncidentRecord{}
		if err := proto.Unmarshal(text, rec); err != nil {
			return err
		}
		n++
		if inc := rec.GetIncident(); inc.GetOpenMembers() != c.open[inc.GetId()] {
			return fmt.Errorf("it counts %d open members, and there are %d", inc.GetOpenMembers(), c.open[inc.GetId()])
		}
		return nil
	})
	return n, err
}

// scan calls fn for each record of a table, and names the one with which something is wrong.
func scan(v store.Snapshot, t store.Table, fn func(key, text []byte) error) error {
	var bad error
	err := v.Scan(t, nil, nil, func(key, text []byte) bool {
		if bad = fn(key, text); bad != nil {
			bad = fmt.Errorf("table %q: record %q: %w", t, key, bad)
		}
		return bad == nil
	})
	return errors.Join(err, bad)
}
