package faults

import (
	"context"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/store"
)

// endRetired ends the faults of terminals that were decommissioned: nobody will say that they are gone.
func (d *Desk) endRetired(ctx context.Context) error {
	return d.endWhere(ctx, func(w store.Writer, f *fleetv1.Fault) (string, error) {
		t, err := terminalOf(w, f.GetTerminalId())
		if err != nil || t != nil && t.GetTerminal().GetState() != fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED {
			return "", err
		}
		return "the terminal was decommissioned", nil
	})
}

// endOrphans ends the faults of entries that the catalogue has no more, because their pack was removed: agents look for them no more, and
// nothing says what remedies them.
func (d *Desk) endOrphans(ctx context.Context) error {
	entries := d.cfg.Catalogue()
	return d.endWhere(ctx, func(_ store.Writer, f *fleetv1.Fault) (string, error) {
		if entries.Entry(f.GetEntry()) != nil {
			return "", nil
		}
		return "its entry is no more", nil
	})
}

// endWhere resolves the open faults for which why says why, each in an update of its own.
func (d *Desk) endWhere(ctx context.Context, why func(w store.Writer, f *fleetv1.Fault) (string, error)) error {
	var open []uint64
	err := d.each(ctx, store.TableOpenFaults, nil, func(key, _ []byte) (bool, error) {
		open = append(open, store.LastNumber(key))
		return true, nil
	})
	for _, n := range open {
		if err == nil {
			err = d.endIf(ctx, n, why)
		}
	}
	return err
}

func (d *Desk) endIf(ctx context.Context, n uint64, why func(w store.Writer, f *fleetv1.Fault) (string, error)) error {
	var a after
	err := d.cfg.Store.Update(ctx, func(w store.Writer) error {
		a = after{}
		rec, err := readFault(w, n)
		if err != nil || rec == nil || !isOpen(rec.GetFault()) {
			return err
		}
		before, f := proto.CloneOf(rec), rec.GetFault()
		how, err := why(w, f)
		if err != nil || how == "" {
			return err
		}
		f.State, f.ResolvedBy = fleetv1.FaultState_FAULT_STATE_RESOLVED, how
		note(f, d.cfg.Now(), "server", "resolved: "+how)
		if f.GetGuidedTask() != "" {
			a.resolved = append(a.resolved, f)
		}
		return d.keep(w, before, rec, "fault.resolve", identity.Name{}, "")
	})
	if err != nil {
		return err
	}
	if len(a.resolved) > 0 {
		d.hint.give()
	}
	d.follow(ctx, a)
	return nil
}
