package faults

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	// lookEvery is how often is looked for what was left undone, and sweepEvery how often for what is old.
	lookEvery  = time.Minute
	sweepEvery = time.Hour
	// forgetAtOnce keeps an update that forgets faults below the store's limit: four keys each.
	forgetAtOnce = 20
	// keptLines is how long lines that match no rule are remembered.
	keptLines = 30 * 24 * time.Hour
)

// Run does what updates have left undone, and what time brings with it, until ctx ends: it takes lone faults into incidents, ends incidents
// of which only stragglers are left, makes findings of jobs faults, and forgets what is old.
func (d *Desk) Run(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	findings := d.cfg.Store.Watch(ctx, store.TableFindings)
	var swept time.Time
	changed := d.cfg.CatalogueChanged()
	d.try(ctx, "faults whose entries are no more", d.endOrphans)
	for {
		d.try(ctx, "incidents and findings", d.Look)
		if now := d.cfg.Now(); now.Sub(swept).Abs() >= sweepEvery {
			swept = now
			d.try(ctx, "old faults", d.Sweep)
		}
		d.refused.tell(d.cfg.Log)
		select {
		case <-ctx.Done():
			d.refused.tell(d.cfg.Log)
			return
		case <-ticker.C:
		case <-findings:
		case <-changed:
			// Asked for first, so that a change meanwhile is seen.
			changed = d.cfg.CatalogueChanged()
			d.try(ctx, "faults whose entries are no more", d.endOrphans)
		}
	}
}

func (d *Desk) try(ctx context.Context, what string, fn func(context.Context) error) {
	if err := fn(ctx); err != nil && ctx.Err() == nil {
		d.cfg.Log.Warn("faults: "+what+": not all was done; it is tried again", "error", err)
	}
}

// Look does once what Run does all the time. It may be called at any time.
func (d *Desk) Look(ctx context.Context) error {
	return errors.Join(d.lookAtIncidents(ctx), d.takeFindings(ctx))
}

// lookAtIncidents goes on with incidents that a killed server has left half made, and ends those of which only stragglers are left.
func (d *Desk) lookAtIncidents(ctx context.Context) error {
	var open []*storagev1.CommonRecord
	err := d.each(ctx, store.TableCommons, nil, func(_, text []byte) (bool, error) {
		c := &storagev1.CommonRecord{}
		err := proto.Unmarshal(text, c)
		if c.GetIncident() != 0 {
			open = append(open, c)
		}
		return true, err
	})
	for _, c := range open {
		if len(c.GetLone()) > 0 {
			key := keyOfCommon(c)
			err = errors.Join(err, d.takeIn(ctx, key))
		}
		err = errors.Join(err, d.endWithStragglers(ctx, c))
	}
	return err
}

func keyOfCommon(c *storagev1.CommonRecord) []byte {
	return store.CommonKey(access.Fold(c.GetSite()), c.GetKind(), c.GetSubject())
}

// endWithStragglers ends an incident with fewer open members than would make one, when none has come or gone for a while: what is still
// wrong with those has another cause, and is remedied there. They are due before the incident is over, so that none is forgotten when
// the server is killed in between.
func (d *Desk) endWithStragglers(ctx context.Context, c *storagev1.CommonRecord) error {
	p, err := d.place(ctx, c.GetSite())
	if err != nil {
		return err
	}
	var inc *storagev1.IncidentRecord
	var members []uint64
	err = d.cfg.Store.View(ctx, func(v store.Snapshot) (err error) {
		members = nil
		if inc, err = read[storagev1.IncidentRecord](v, store.TableIncidents, store.Number(c.GetIncident())); err != nil || inc == nil {
			return err
		}
		if !d.overExceptFor(inc, p.needed(c.GetKind(), c.GetSubject())) {
			inc = nil
			return nil
		}
		return v.Scan(store.TableIncidentMembers, store.Number(c.GetIncident()), nil, func(key, _ []byte) bool {
			members = append(members, store.LastNumber(key))
			return true
		})
	})
	if err != nil || inc == nil {
		return err
	}
	for _, n := range members {
		if err := d.release(ctx, n, inc.GetIncident().GetId()); err != nil {
			return err
		}
	}
	return d.closeIncident(ctx, c, p)
}

func (d *Desk) overExceptFor(inc *storagev1.IncidentRecord, needed int) bool {
	return int(inc.GetIncident().GetOpenMembers()) < needed && d.cfg.Now().Sub(inc.GetChanged().AsTime()) > incidentWindow
}

// release takes a member out that is still open, and makes it due. As long as the incident is open, isHeld keeps it back.
func (d *Desk) release(ctx context.Context, n uint64, incident string) error {
	return d.cfg.Store.Update(ctx, func(w store.Writer) error {
		rec, err := readFault(w, n)
		if err != nil || rec == nil || !isOpen(rec.GetFault()) || rec.GetFault().GetIncident() != incident || rec.GetDue() != nil {
			return err
		}
		inc, err := read[storagev1.IncidentRecord](w, store.TableIncidents, store.Number(numberOf(incidentPrefix, incident)))
		if err != nil || inc == nil {
			return err
		}
		inc.Incident.OpenMembers--
		if err := put(w, store.TableIncidents, store.Number(numberOf(incidentPrefix, incident)), inc); err != nil {
			return err
		}
		before := proto.CloneOf(rec)
		rec.Due, rec.Fault.Decision, rec.Fault.Incident = timestamppb.New(d.cfg.Now()), "", ""
		note(rec.GetFault(), d.cfg.Now(), "server", "incident "+incident+" is over for the others")
		return save(w, before, rec)
	})
}

// closeIncident ends an incident, unless somebody has joined meanwhile.
func (d *Desk) closeIncident(ctx context.Context, c *storagev1.CommonRecord, p *place) error {
	err := d.cfg.Store.Update(ctx, func(w store.Writer) error {
		key, now, err := common(w, c.GetSite(), c.GetKind(), c.GetSubject())
		if err != nil || now.GetIncident() != c.GetIncident() {
			return err
		}
		inc, err := read[storagev1.IncidentRecord](w, store.TableIncidents, store.Number(c.GetIncident()))
		if err != nil || inc == nil || len(now.GetLone()) > 0 || !d.overExceptFor(inc, p.needed(c.GetKind(), c.GetSubject())) {
			return err
		}
		return errors.Join(d.endIncident(w, now, inc, d.cfg.Now()), keepCommon(w, key, now))
	})
	d.hint.give()
	return err
}

// Sweep forgets faults and incidents that ended long ago, lines that nobody has seen for long, and ends the faults of terminals that were
// decommissioned and of entries that are no more. It may be called at any time.
func (d *Desk) Sweep(ctx context.Context) error {
	return errors.Join(d.endTasks(ctx), d.forgetFaults(ctx), d.forgetIncidents(ctx), d.forgetLines(ctx), d.forgetBreakers(ctx), d.endRetired(ctx), d.endOrphans(ctx))
}

// endTasks tells once more which faults have ended within the last day that people had tasks for: a server that was killed may have told
// nobody.
func (d *Desk) endTasks(ctx context.Context) error {
	if d.guided == nil {
		return nil
	}
	var ended []*fleetv1.Fault
	from := store.Number(uint64(max(0, d.cfg.Now().Add(-sameFault).UnixNano())))
	err := d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		ended = nil
		var bad error
		err := v.Scan(store.TableFaultEnds, nil, from, func(key, _ []byte) bool {
			var rec *storagev1.FaultRecord
			if rec, bad = readFault(v, store.LastNumber(key)); rec.GetFault().GetGuidedTask() != "" {
				ended = append(ended, rec.GetFault())
			}
			return bad == nil
		})
		return errors.Join(err, bad)
	})
	for _, f := range ended {
		err = errors.Join(err, d.guided.FaultResolved(ctx, f.GetId(), f.GetResolvedBy()))
	}
	return err
}

func (d *Desk) forgetFaults(ctx context.Context) error {
	limit := uint64(max(0, d.cfg.Now().Add(-d.cfg.Retention).UnixNano()))
	for {
		var old []uint64
		err := d.cfg.Store.View(ctx, func(v store.Snapshot) error {
			old = nil
			return v.Scan(store.TableFaultEnds, nil, nil, func(key, _ []byte) bool {
				at, n := store.ParsePair(key)
				if at >= limit || len(old) == forgetAtOnce {
					return false
				}
				old = append(old, n)
				return true
			})
		})
		if err != nil || len(old) == 0 {
			return err
		}
		if err := d.cfg.Store.Update(ctx, func(w store.Writer) error { return forgetSome(w, old) }); err != nil {
			return err
		}
	}
}

func forgetSome(w store.Writer, old []uint64) error {
	for _, n := range old {
		rec, err := readFault(w, n)
		if err != nil || rec == nil {
			return err
		}
		f := rec.GetFault()
		last, err := lastOf(w, f.GetTerminalId(), f.GetEntry(), f.GetSubject())
		if err != nil {
			return err
		}
		if last.GetFault().GetId() == f.GetId() {
			err = w.Delete(store.TableFaultKeys, store.FaultKey(f.GetTerminalId(), f.GetEntry(), f.GetSubject()))
		}
		if i := numberOf(incidentPrefix, f.GetIncident()); i != 0 {
			err = errors.Join(err, w.Delete(store.TableIncidentMembers, store.PairKey(i, n)))
		}
		err = errors.Join(err, w.Delete(store.TableFaultEnds, indexesOf(rec).end), w.Delete(store.TableFaults, store.Number(n)))
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetIncidents forgets incidents whose end is as old as that of faults that are forgotten. What is left of their members goes with those.
func (d *Desk) forgetIncidents(ctx context.Context) error {
	return d.forget(ctx, store.TableIncidents, func(text []byte) (bool, error) {
		rec := &storagev1.IncidentRecord{}
		err := proto.Unmarshal(text, rec)
		ended := rec.GetIncident().GetResolved()
		return ended != nil && ended.AsTime().Before(d.cfg.Now().Add(-d.cfg.Retention)), err
	})
}

func (d *Desk) forgetLines(ctx context.Context) error {
	return d.forget(ctx, store.TableUnmatchedLines, func(text []byte) (bool, error) {
		rec := &storagev1.UnmatchedRecord{}
		err := proto.Unmarshal(text, rec)
		return rec.GetLine().GetLastSeen().AsTime().Before(d.cfg.Now().Add(-keptLines)), err
	})
}

// forgetBreakers forgets breakers that closed as long ago as faults that are forgotten.
func (d *Desk) forgetBreakers(ctx context.Context) error {
	return d.forget(ctx, store.TableBreakers, func(text []byte) (bool, error) {
		b := &fleetv1.Breaker{}
		err := proto.Unmarshal(text, b)
		return !b.GetOpen() && b.GetSince().AsTime().Before(d.cfg.Now().Add(-d.cfg.Retention)), err
	})
}

// forget deletes the records of a table that are old.
func (d *Desk) forget(ctx context.Context, t store.Table, old func(text []byte) (bool, error)) error {
	var keys [][]byte
	err := d.each(ctx, t, nil, func(key, text []byte) (bool, error) {
		is, err := old(text)
		if is {
			keys = append(keys, key)
		}
		return true, err
	})
	for _, key := range keys {
		if err == nil {
			err = d.cfg.Store.Update(ctx, func(w store.Writer) error { return w.Delete(t, key) })
		}
	}
	return err
}
