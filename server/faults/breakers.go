package faults

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// BreakersOf returns the breakers of a fault's terminal, entry and subject, as its agent told of them.
func (d *Desk) BreakersOf(ctx context.Context, f *fleetv1.Fault) (found []*fleetv1.Breaker, err error) {
	prefix := store.BreakerKey(f.GetTerminalId(), f.GetEntry(), f.GetSubject(), "")
	err = d.eachBreaker(ctx, prefix, func(b *fleetv1.Breaker) { found = append(found, b) })
	return found, err
}

// TerminalBreakers returns all breakers of a terminal.
func (d *Desk) TerminalBreakers(ctx context.Context, terminalID string) (found []*fleetv1.Breaker, err error) {
	err = d.eachBreaker(ctx, store.Prefix(store.Ordinal(terminalID)), func(b *fleetv1.Breaker) { found = append(found, b) })
	return found, err
}

// Breakers calls fn for every breaker, by terminal, in several short views.
func (d *Desk) Breakers(ctx context.Context, fn func(*fleetv1.Breaker)) error {
	return d.eachBreaker(ctx, nil, fn)
}

func (d *Desk) eachBreaker(ctx context.Context, prefix []byte, fn func(*fleetv1.Breaker)) error {
	return d.each(ctx, store.TableBreakers, prefix, func(_, text []byte) (bool, error) {
		b := &fleetv1.Breaker{}
		err := proto.Unmarshal(text, b)
		if err == nil {
			fn(b)
		}
		return true, err
	})
}

// each calls fn for the records of a table with a prefix, in several short views, until it says that it has enough. key and text are fn's.
func (d *Desk) each(ctx context.Context, t store.Table, prefix []byte, fn func(key, text []byte) (more bool, err error)) error {
	var from []byte
	for {
		n, stopped := 0, false
		var bad error
		err := d.cfg.Store.View(ctx, func(v store.Snapshot) error {
			return v.Scan(t, prefix, from, func(key, text []byte) bool {
				from = append(slices.Clone(key), 0)
				var more bool
				more, bad = fn(slices.Clone(key), slices.Clone(text))
				stopped = bad != nil || !more
				n++
				return !stopped && n < readChunk
			})
		})
		if err = errors.Join(err, bad); err != nil || stopped || n < readChunk {
			return err
		}
	}
}

// AskReset notes that somebody wants a breaker closed; it is told to the agent, which answers with the breaker's new state. NOT_FOUND when
// there is no such breaker; one that is closed stays as it is.
func (d *Desk) AskReset(ctx context.Context, p *access.Principal, terminalID, entry, subject, action, reason string) (b *fleetv1.Breaker, err error) {
	if err := audit.CheckReason("reason", reason); err != nil {
		return nil, err
	}
	err = d.cfg.Store.Update(ctx, func(w store.Writer) error {
		key := store.BreakerKey(terminalID, entry, subject, action)
		if b, err = read[fleetv1.Breaker](w, store.TableBreakers, key); err != nil {
			return err
		}
		if b == nil {
			return refusal.New(refusal.NotFound, "NOT_FOUND", "breaker of %q for %q on terminal %q: not found", refusal.Shown(action), refusal.Shown(entry), terminalID).
				Then("look at `fleetctl breaker list`")
		}
		if !b.GetOpen() || b.GetResetBy() != "" {
			return nil
		}
		b.ResetBy = p.Name.ID
		return errors.Join(put(w, store.TableBreakers, key, b), audit.Append(w, d.cfg.Now(), audit.Entry{
			Site: b.GetSite(), Actor: p.Name, Verb: "breaker.reset", Object: "terminal/" + terminalID, Reason: reason,
			Changes: asChanges("entry", entry, "subject", subject, "action", action),
		}))
	})
	if err != nil {
		return nil, err
	}
	d.hint.give()
	return b, nil
}
