package faults

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// mostOfTerminal is how many faults of one terminal, and how many breakers, are kept: many times what a machine can have that is all broken.
const mostOfTerminal = 2000

// newsPerUpdate keeps an update below the store's limit of writes: a fault that opens an incident writes a dozen keys, and those of two
// notices.
const newsPerUpdate = 4

// Report takes over news of a terminal, in the order of its sequence, and returns up to where all is stored: what makes no sense is left
// out, and counts as stored. News that is stored already is passed over, also after a restart: the mark is written in the update that
// stores the news. The terminal is the session's; when its record says of which
// journal the news is, it must be the one that the terminal has now: what an old session brings late must not move the mark. While the store fails nothing counts as stored, and the agent sends it again.
func (d *Desk) Report(ctx context.Context, terminal *storagev1.TerminalRecord, news []*agentv1.News) (storedUpTo uint64, err error) {
	id := terminal.GetTerminal().GetId()
	rec, err := d.cfg.Inventory.Terminal(ctx, id)
	if err != nil {
		return 0, err
	}
	p, err := d.place(ctx, rec.GetTerminal().GetSite())
	if err != nil {
		return 0, err
	}
	if len(news) == 0 {
		return d.storedUpTo(ctx, rec)
	}
	full, err := d.isFull(ctx, id)
	if err != nil {
		return 0, err
	}
	for chunk := range slices.Chunk(news, newsPerUpdate) {
		if storedUpTo, err = d.reportSome(ctx, id, terminal.GetJournalId(), p, full, chunk); err != nil {
			return storedUpTo, err
		}
	}
	return storedUpTo, nil
}

// isFull says whether an agent has told of so many faults or breakers that no further ones are taken: one that has gone mad, or lies, must not
// fill the store.
func (d *Desk) isFull(ctx context.Context, id string) (full bool, err error) {
	prefix := store.Prefix(store.Ordinal(id))
	err = d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		full = false
		for _, table := range []store.Table{store.TableFaultKeys, store.TableBreakers} {
			n := 0
			if err := v.Scan(table, prefix, nil, func(_, _ []byte) bool { n++; return n < mostOfTerminal }); err != nil {
				return err
			}
			full = full || n >= mostOfTerminal
		}
		return nil
	})
	return full, err
}

// tooMany notes that news was left out because a terminal has too many.
func (t *taking) tooMany() {
	t.bad = append(t.bad, "is of one thing more than a terminal may have wrong with it")
}

// storedUpTo reads up to where the news of a terminal's journal is stored.
func (d *Desk) storedUpTo(ctx context.Context, t *storagev1.TerminalRecord) (upTo uint64, err error) {
	err = d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		mark, err := markOf(v, t)
		upTo = mark.GetSequence()
		return err
	})
	return upTo, err
}

// markOf is up to where a terminal's news is stored; with another journal it begins anew.
func markOf(r store.Reader, t *storagev1.TerminalRecord) (*storagev1.NewsRecord, error) {
	mark, err := read[storagev1.NewsRecord](r, store.TableNews, store.TerminalKey(t.GetTerminal().GetId()))
	if err == nil && mark.GetJournalId() != t.GetJournalId() || mark == nil {
		mark = &storagev1.NewsRecord{JournalId: t.GetJournalId()}
	}
	return mark, err
}

// taking is one update of news of one terminal.
type taking struct {
	*Desk
	w        store.Writer
	now      time.Time
	terminal *fleetv1.Terminal
	place    *place
	// full says that the agent has told of as many things as it may: what is new is left out.
	full bool
	// reporter is the person who reports; empty when the agent does.
	reporter string
	// changes are the audit record of what the agent told, and others those of other actors.
	changes []*storagev1.AuditChange
	others  []audit.Entry
	// after is what is to be done once it is stored.
	after after
	bad   []string
}

// after is what follows from an update that is on disk.
type after struct {
	// incidents are the keys of what became an incident, whose lone faults are to be taken in.
	incidents [][]byte
	// resolved have guided tasks, which end with them.
	resolved []*fleetv1.Fault
}

// reportSome is one update.
func (d *Desk) reportSome(ctx context.Context, terminalID, journal string, p *place, full bool, news []*agentv1.News) (upTo uint64, err error) {
	var t *taking
	err = d.cfg.Store.Update(ctx, func(w store.Writer) error {
		rec, err := terminalOf(w, terminalID)
		if err != nil {
			return err
		}
		if rec == nil || rec.GetTerminal().GetState() == fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED {
			return access.NotFound(access.Terminal, terminalID)
		}
		if journal != "" && journal != rec.GetJournalId() {
			return refusal.New(refusal.Conflict, "OTHER_JOURNAL", "terminal %q: its agent has another journal since", terminalID).Then("tell it in a new session")
		}
		mark, err := markOf(w, rec)
		if err != nil {
			return err
		}
		t = &taking{Desk: d, w: w, now: d.cfg.Now(), terminal: rec.GetTerminal(), place: p, full: full}
		upTo, err = t.all(mark, news)
		return err
	})
	if err != nil {
		return 0, err
	}
	d.refused.add(terminalID, t.bad)
	d.hint.give()
	d.follow(ctx, t.after)
	return upTo, nil
}

// all takes what is not stored yet, and moves the mark.
func (t *taking) all(mark *storagev1.NewsRecord, news []*agentv1.News) (uint64, error) {
	before := mark.GetSequence()
	for _, n := range news {
		if n.GetSequence() <= mark.GetSequence() {
			continue
		}
		mark.Sequence = n.GetSequence()
		if err := t.one(n); err != nil {
			return 0, err
		}
	}
	if mark.GetSequence() == before {
		return before, nil
	}
	if err := t.record(); err != nil {
		return 0, err
	}
	return mark.GetSequence(), put(t.w, store.TableNews, store.TerminalKey(t.terminal.GetId()), mark)
}

// one takes one piece of news, or notes why not.
func (t *taking) one(n *agentv1.News) (err error) {
	var bad string
	switch m := n.GetNews().(type) {
	case *agentv1.News_Fault:
		if bad = t.checkFault(m.Fault); bad == "" {
			err = t.fault(m.Fault)
		}
	case *agentv1.News_Reflex:
		if bad = t.checkReflex(m.Reflex); bad == "" {
			err = t.reflex(m.Reflex)
		}
	case *agentv1.News_Breaker:
		if bad = t.checkBreaker(m.Breaker); bad == "" {
			err = t.breaker(m.Breaker)
		}
	default:
		bad = "is too much, or of no kind that this server knows"
	}
	if bad != "" {
		t.bad = append(t.bad, bad)
	}
	return err
}

// record writes one audit record for what the agent told, and one for each thing that a policy did there.
func (t *taking) record() error {
	agent := identity.Name{Kind: identity.KindAgent, ID: t.terminal.GetId()}
	if len(t.changes) > 0 {
		t.others = append(t.others, audit.Entry{Actor: agent, Verb: "fault.report", Object: "terminal/" + t.terminal.GetId(), Changes: t.changes})
	}
	for _, e := range t.others {
		e.Site = t.terminal.GetSite()
		if err := audit.Append(t.w, t.now, e); err != nil {
			return err
		}
	}
	return nil
}

// follow does what an update has left to do. What fails, or is cut short by the end of the server, Run does later.
func (d *Desk) follow(ctx context.Context, a after) {
	for _, key := range a.incidents {
		if err := d.takeIn(ctx, key); err != nil && ctx.Err() == nil {
			d.cfg.Log.Warn("faults wait to be taken into an incident", "error", err)
		}
	}
	for _, f := range a.resolved {
		if d.guided == nil {
			return
		}
		if err := d.guided.FaultResolved(ctx, f.GetId(), f.GetResolvedBy()); err != nil && ctx.Err() == nil {
			d.cfg.Log.Warn("a guided task was not closed with its fault", "fault", f.GetId(), "task", f.GetGuidedTask(), "error", err)
		}
	}
}

// stamp is a time that an agent told, or now when it told none.
func (t *taking) stamp(told *timestamppb.Timestamp) *timestamppb.Timestamp {
	if told == nil {
		return timestamppb.New(t.now)
	}
	return told
}
