package policy

import (
	"context"
	"fmt"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// maxListed bounds one list of breakers.
const maxListed = 2000

// ListBreakers lists what agents told of their breakers, those of the caller's sites.
func (e *Engine) ListBreakers(ctx context.Context, p *access.Principal, r *fleetv1.ListBreakersRequest) (shown []*fleetv1.Breaker, err error) {
	terminal := ""
	if r.GetTerminal() != "" {
		rec, err := e.cfg.Inventory.Terminal(ctx, r.GetTerminal())
		if err == nil && !p.May(access.Read, rec.GetTerminal().GetSite()) {
			err = access.NotFound(access.Terminal, r.GetTerminal()).At("terminal")
		}
		if err != nil {
			return nil, err
		}
		terminal = rec.GetTerminal().GetId()
	}
	add := func(b *fleetv1.Breaker) {
		if len(shown) < maxListed && (r.GetAll() || b.GetOpen()) && oneOf(some(access.Fold(r.GetSite())), b.GetSite()) && p.May(access.Read, b.GetSite()) {
			shown = append(shown, b)
		}
	}
	if terminal == "" {
		err = e.cfg.Breakers.Breakers(ctx, add)
		return shown, err
	}
	all, err := e.cfg.Breakers.TerminalBreakers(ctx, terminal)
	for _, b := range all {
		add(b)
	}
	return shown, err
}

// ResetBreaker has a terminal's agent close breakers. What is asked for waits in the store until the agent has told that it is so.
func (e *Engine) ResetBreaker(ctx context.Context, p *access.Principal, r *fleetv1.ResetBreakerRequest) ([]*fleetv1.Breaker, error) {
	if err := audit.CheckReason("reason", r.GetReason()); err != nil {
		return nil, err
	}
	rec, err := e.cfg.Inventory.Terminal(ctx, r.GetTerminal())
	if err != nil {
		return nil, err
	}
	meant, err := e.meant(ctx, rec.GetTerminal().GetId(), r)
	if err != nil {
		return nil, err
	}
	for i, b := range meant {
		meant[i], err = e.cfg.Breakers.AskReset(ctx, p, b.GetTerminalId(), b.GetEntry(), b.GetSubject(), b.GetAction(), r.GetReason())
		if err != nil {
			return nil, err
		}
	}
	e.orders.changed()
	return meant, nil
}

// meant finds the breakers that a request is about.
func (e *Engine) meant(ctx context.Context, terminalID string, r *fleetv1.ResetBreakerRequest) (meant []*fleetv1.Breaker, err error) {
	all, err := e.cfg.Breakers.TerminalBreakers(ctx, terminalID)
	for _, b := range all {
		if oneOf(some(r.GetEntry()), b.GetEntry()) && oneOf(some(r.GetSubject()), b.GetSubject()) && oneOf(some(r.GetAction()), b.GetAction()) {
			meant = append(meant, b)
		}
	}
	if err == nil && len(meant) == 0 {
		err = refusal.New(refusal.NotFound, "NO_BREAKER", "terminal %q: its agent has told of no such breaker", refusal.Shown(r.GetTerminal())).At("terminal").
			Then("see `fleetctl breaker list --terminal %s --all`", refusal.Shown(r.GetTerminal()))
	}
	return meant, err
}

func some(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// Resets returns what a terminal's agent is still to be told to close.
func (e *Engine) Resets(ctx context.Context, terminalID string) (waiting []*agentv1.BreakerReset, err error) {
	all, err := e.cfg.Breakers.TerminalBreakers(ctx, terminalID)
	if err != nil {
		return nil, fmt.Errorf("breakers of terminal %q: %w", terminalID, err)
	}
	for _, b := range all {
		if b.GetResetBy() != "" {
			waiting = append(waiting, &agentv1.BreakerReset{Entry: b.GetEntry(), Subject: b.GetSubject(), Action: b.GetAction(), By: b.GetResetBy()})
		}
	}
	return waiting, nil
}
