package policy

import (
	"context"
	"strings"
	"sync"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	naming "github.com/bandfleet/bandfleet/proto/orders"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// maxReflexes bounds what an agent is told to remedy.
const maxReflexes = naming.MaxReflexes

// orders makes what agents are told. What is the same for all machines of a role at a site is made once.
type orders struct {
	mu sync.Mutex
	// shared are by place, of the edition and the catalogue that they were made of.
	shared    map[place]*agentv1.Orders
	edition   uint64
	catalogue string
	// next is closed when orders may be others than before.
	next chan struct{}
}

// place is what decides which rules and reflexes a machine has.
type place struct {
	site string
	role fleetv1.TerminalRole
}

func (o *orders) open() { o.next, o.shared = make(chan struct{}), map[place]*agentv1.Orders{} }

// changed tells that orders may be others than before.
func (o *orders) changed() {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.next)
	o.next = make(chan struct{})
}

// Changed returns a channel that is closed when orders, or what agents are still to be told of breakers, may be others than now. Ask for it
// before For, then wait on it.
func (e *Engine) Changed() <-chan struct{} {
	e.orders.mu.Lock()
	defer e.orders.mu.Unlock()
	return e.orders.next
}

// SiteChanged tells that a site is set otherwise.
func (e *Engine) SiteChanged() { e.rethink() }

// For makes the orders of a terminal.
func (e *Engine) For(ctx context.Context, terminal *storagev1.TerminalRecord) (*agentv1.Orders, error) {
	t := terminal.GetTerminal()
	shared := e.sharedBy(place{t.GetSite(), t.GetRole()})
	around := &actionv1.Surroundings{}
	if e.cfg.Surroundings != nil {
		var err error
		if around, err = e.cfg.Surroundings.Surroundings(ctx, t.GetId()); err != nil {
			return nil, err
		}
	}
	made := &agentv1.Orders{
		States: shared.GetStates(), Logs: shared.GetLogs(), Reflexes: settled(shared.GetReflexes(), t, around), CatalogueVersion: shared.GetCatalogueVersion(),
		Expectations: &agentv1.Expectations{Site: around},
	}
	if f := e.cfg.Freezes.Frozen(t.GetSite()); f != nil {
		made.Frozen, made.FrozenReason = true, frozenWords(f)
	}
	var err error
	made.Version, err = naming.Version(made)
	return made, err
}

// sharedBy returns what all machines at a place are told, made anew when policies or catalogue are others. It must not be changed.
func (e *Engine) sharedBy(at place) *agentv1.Orders {
	book, entries := e.book.current(), e.cfg.Catalogue.Current()
	o := &e.orders
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.edition != book.number || o.catalogue != entries.Version() {
		o.edition, o.catalogue = book.number, entries.Version()
		clear(o.shared)
	}
	made := o.shared[at]
	if made == nil {
		made = &agentv1.Orders{CatalogueVersion: entries.Version(), Reflexes: reflexes(book, entries, at)}
		made.States, made.Logs = catalogue.Rules(entries, targetOf(at.role))
		o.shared[at] = made
	}
	return made
}

func targetOf(role fleetv1.TerminalRole) catalogue.Target {
	if role == fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST {
		return catalogue.NESHost
	}
	return catalogue.Terminal
}

// reflexes are what the policies at a place allow, and the limits of what the server starts there.
func reflexes(book *edition, entries *catalogue.Catalogue, at place) (all []*agentv1.Reflex) {
	for _, entry := range entries.Entries() {
		p := book.choose(entry, at.site, at.role)
		if p == nil || p.GetMode() == fleetv1.PolicyMode_POLICY_MODE_OBSERVE || !has(entry, at.role) {
			continue
		}
		for i, s := range entry.Remedy.Steps {
			if onTerminal(s) && len(all) < maxReflexes {
				all = append(all, &agentv1.Reflex{
					Policy: p.GetName(), Entry: entry.ID, Action: s.Action, Params: s.Params, Guardrails: guardrailsOf(p), ByAgent: i == 0 && alone(p, entry, s),
				})
			}
		}
	}
	return all
}

// has says whether a machine of a role can have what an entry is about.
func has(entry *catalogue.Entry, role fleetv1.TerminalRole) bool {
	return !entry.Procedure && (entry.Target == catalogue.Device || (entry.Target == catalogue.NESHost) == (role == fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST))
}

// alone says whether an agent may take a step without the server: nobody is to be asked, no window can close it, and it interrupts nothing.
func alone(p *fleetv1.Policy, entry *catalogue.Entry, s catalogue.Step) bool {
	return p.GetMode() == fleetv1.PolicyMode_POLICY_MODE_AUTO && p.GetReflex() && entry.Remedy.Kind == catalogue.Auto && !s.Approval && s.If == nil &&
		startsOnly(s)
}

// settled puts the terminal's own values into the parameters of reflexes. A reflex that lacks one is told without by_agent: an agent that
// is alone cannot ask.
func settled(shared []*agentv1.Reflex, t *fleetv1.Terminal, around *actionv1.Surroundings) []*agentv1.Reflex {
	all := make([]*agentv1.Reflex, len(shared))
	for i, r := range shared {
		all[i] = r
		if !open(r) {
			continue
		}
		params, complete := map[string]string{}, true
		for name, text := range r.GetParams() {
			// The agent knows the subject.
			value, problem := replace(strings.ReplaceAll(text, "{subject}", subjectMark), &fleetv1.Fault{TerminalName: t.GetName()}, around)
			complete = complete && problem == ""
			params[name] = strings.ReplaceAll(value, subjectMark, "{subject}")
		}
		all[i] = &agentv1.Reflex{
			Policy: r.GetPolicy(), Entry: r.GetEntry(), Action: r.GetAction(), Params: params, Guardrails: r.GetGuardrails(), ByAgent: r.GetByAgent() && complete,
		}
	}
	return all
}

// subjectMark stands for the subject while the rest is put in.
const subjectMark = "\x00subject\x00"

// open says whether a reflex has parameters that are to be filled.
func open(r *agentv1.Reflex) bool {
	for _, text := range r.GetParams() {
		if placeholder.MatchString(text) {
			return true
		}
	}
	return false
}
