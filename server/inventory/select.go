package inventory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/selector"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// maxNamed is how many terminals one selection may name.
const maxNamed = 10_000

// Select resolves a selection to the terminals on which the principal holds the right, by id. An empty selection is refused,
// as is one that matches nothing: neither may ever mean everything. Decommissioned terminals are never selected.
func (i *Inventory) Select(ctx context.Context, p *access.Principal, right access.Right, sel *fleetv1.Selection) ([]*storagev1.TerminalRecord, error) {
	if emptySelection(sel) {
		return nil, refusal.New(refusal.Invalid, "EMPTY_SELECTION", "selection: is empty").At("selection").
			Then("name sites, terminals, a role or labels, or write an expression")
	}
	m, err := i.matcher(ctx, p, right, sel)
	if err != nil {
		return nil, err
	}
	found, err := i.candidates(ctx, m)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(r *storagev1.TerminalRecord) bool { return !inUse(r) || !i.matches(m, r) })
	if len(found) == 0 {
		return nil, refusal.New(refusal.NotFound, "NOTHING_MATCHES", "selection: no terminal matches").At("selection").
			Then("look at `fleetctl get terminals` with the same flags")
	}
	slices.SortFunc(found, func(a, b *storagev1.TerminalRecord) int {
		return strings.Compare(store.Ordinal(a.GetTerminal().GetId()), store.Ordinal(b.GetTerminal().GetId()))
	})
	return found, nil
}

func emptySelection(s *fleetv1.Selection) bool {
	return len(s.GetSites()) == 0 && len(s.GetTerminals()) == 0 && len(s.GetHosts()) == 0 && len(s.GetLabels()) == 0 &&
		s.GetRole() == fleetv1.TerminalRole_TERMINAL_ROLE_UNSPECIFIED && s.GetExpression() == ""
}

// matcher is a checked selection.
type matcher struct {
	// sites are those in question: the selected ones, or where the right is held; nil means all.
	sites map[string]bool
	// named are the terminals that the selection names, by id; nil when it names none.
	named  map[string]*storagev1.TerminalRecord
	role   fleetv1.TerminalRole
	labels map[string]string
	// expression is nil when there is none.
	expression *selector.Expression
}

// matches asks the expression last: it is never put to a terminal that the principal may not know of.
func (i *Inventory) matches(m *matcher, r *storagev1.TerminalRecord) bool {
	if !m.matches(r) {
		return false
	}
	t := r.GetTerminal()
	return m.expression == nil || m.expression.Matches(selector.Subject{Terminal: t, Online: i.online(t.GetId()), Now: i.now()})
}

func (m *matcher) matches(r *storagev1.TerminalRecord) bool {
	t := r.GetTerminal()
	if m.sites != nil && !m.sites[t.GetSite()] {
		return false
	}
	if m.named != nil && m.named[t.GetId()] == nil {
		return false
	}
	if m.role != fleetv1.TerminalRole_TERMINAL_ROLE_UNSPECIFIED && t.GetRole() != m.role {
		return false
	}
	for key, want := range m.labels {
		if value, ok := t.GetLabels()[key]; !ok || value != want {
			return false
		}
	}
	return true
}

// matcher checks a selection: what it names must be there for the principal, and the right must be held on it.
func (i *Inventory) matcher(ctx context.Context, p *access.Principal, right access.Right, sel *fleetv1.Selection) (*matcher, error) {
	// A newer client may narrow a selection by what this server does not know; to leave that out would widen it.
	if len(sel.ProtoReflect().GetUnknown()) > 0 {
		return nil, refusal.New(refusal.Invalid, "UNKNOWN_FIELD", "selection: has a field that this server does not know").At("selection").
			Then("select without it, or bring the server up to date")
	}
	if err := checkResolved(sel); err != nil {
		return nil, err
	}
	m := &matcher{role: sel.GetRole(), labels: sel.GetLabels()}
	if err := m.parse(sel.GetExpression()); err != nil {
		return nil, err
	}
	if _, known := fleetv1.TerminalRole_name[int32(sel.GetRole())]; !known {
		return nil, refusal.New(refusal.Invalid, "BAD_ROLE", "role %d: is not known", sel.GetRole()).At("selection.role")
	}
	for _, key := range slices.Sorted(maps.Keys(sel.GetLabels())) {
		if err := checkLabel(key, sel.GetLabels()[key], fmt.Sprintf("selection.labels[%s]", clipped(key))); err != nil {
			return nil, err
		}
	}
	if err := i.matchSites(ctx, p, right, sel.GetSites(), m); err != nil {
		return nil, err
	}
	return m, i.matchNamed(ctx, p, right, sel, m)
}

// checkResolved refuses what only the job engine can resolve: to leave it out would widen the selection.
func checkResolved(sel *fleetv1.Selection) error {
	no := func(field, what string) error {
		return refusal.New(refusal.Invalid, "ONLY_FOR_JOBS", "selection: %s has a meaning for jobs only", what).At("selection." + field).
			Then("leave it out here; `fleetctl fix … --dry-run` shows what a job would mean")
	}
	switch {
	case sel.GetFromJob() != nil:
		return no("from_job", "an earlier job")
	case sel.GetLimit() != nil:
		return no("limit", "a limit")
	}
	return nil
}

// parse reads the expression of a selection, if there is one.
func (m *matcher) parse(text string) (err error) {
	if text == "" {
		return nil
	}
	if m.expression, err = selector.Parse(text); err != nil {
		return refusal.New(refusal.Invalid, "BAD_EXPRESSION", "expression: %s", err).At("selection.expression").
			Then("see `fleetctl help expressions`")
	}
	return nil
}

func (i *Inventory) matchSites(ctx context.Context, p *access.Principal, right access.Right, names []string, m *matcher) error {
	if len(names) == 0 {
		if all, sites := p.Sites(right); !all {
			m.sites = setOf(sites)
		}
		return nil
	}
	m.sites = map[string]bool{}
	for n, name := range names {
		o := access.Object{Kind: access.Site, Name: clipped(name), Field: fmt.Sprintf("selection.sites[%d]", n)}
		s, err := i.Site(ctx, name)
		if err != nil {
			return at(err, o.Field)
		}
		if err := access.CheckSites(p, right, access.Every, o, []string{s.GetName()}); err != nil {
			return err
		}
		m.sites[s.GetName()] = true
	}
	return nil
}

func (i *Inventory) matchNamed(ctx context.Context, p *access.Principal, right access.Right, sel *fleetv1.Selection, m *matcher) error {
	if len(sel.GetTerminals())+len(sel.GetHosts()) == 0 {
		return nil
	}
	if n := len(sel.GetTerminals()) + len(sel.GetHosts()); n > maxNamed {
		return refusal.New(refusal.Exhausted, "TOO_MANY_NAMES", "selection: names %d terminals, at most %d are allowed", n, maxNamed).
			At("selection.terminals").Then("select by site, role or label")
	}
	m.named = map[string]*storagev1.TerminalRecord{}
	return i.store.View(ctx, func(v store.Snapshot) error {
		for n, name := range sel.GetTerminals() {
			if _, err := m.addNamed(v, p, right, name, fmt.Sprintf("selection.terminals[%d]", n)); err != nil {
				return err
			}
		}
		for n, name := range sel.GetHosts() {
			field := fmt.Sprintf("selection.hosts[%d]", n)
			r, err := m.addNamed(v, p, right, name, field)
			if err != nil {
				return err
			}
			if r.GetTerminal().GetRole() != fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST {
				return refusal.New(refusal.Invalid, "NOT_A_HOST", "terminal %q: has not the role nes-host", clipped(name)).At(field).
					Then("name it as a terminal")
			}
		}
		return nil
	})
}

func (m *matcher) addNamed(v store.Reader, p *access.Principal, right access.Right, name, field string) (*storagev1.TerminalRecord, error) {
	r, err := findTerminal(v, name)
	if err != nil {
		return nil, at(err, field)
	}
	o := access.Object{Kind: access.Terminal, Name: clipped(name), Field: field}
	if err := access.CheckSites(p, right, access.Every, o, []string{r.GetTerminal().GetSite()}); err != nil {
		return nil, err
	}
	m.named[r.GetTerminal().GetId()] = r
	return r, nil
}

// candidates reads the terminals that can match, by the narrowest way.
func (i *Inventory) candidates(ctx context.Context, m *matcher) (found []*storagev1.TerminalRecord, err error) {
	if m.named != nil {
		return slices.Collect(maps.Values(m.named)), nil
	}
	if m.sites != nil {
		for _, site := range slices.Sorted(maps.Keys(m.sites)) {
			if found, err = i.appendSite(ctx, site, found); err != nil {
				return nil, err
			}
		}
		return found, nil
	}
	err = scanAll(ctx, i.store, store.TableTerminals, nil, nil, func(_, value []byte) (bool, error) {
		r := &storagev1.TerminalRecord{}
		found = append(found, r)
		return true, proto.Unmarshal(value, r)
	})
	return found, err
}

// appendSite reads the terminals of one site, in several short views.
func (i *Inventory) appendSite(ctx context.Context, site string, found []*storagev1.TerminalRecord) ([]*storagev1.TerminalRecord, error) {
	var ids []string
	err := scanAll(ctx, i.store, store.TableTerminalSites, store.Prefix(site), nil, func(key, _ []byte) (bool, error) {
		ids = append(ids, store.TerminalOfSiteKey(key))
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	for chunk := range slices.Chunk(ids, scanChunk) {
		err := i.store.View(ctx, func(v store.Snapshot) error {
			for _, id := range chunk {
				r, err := findTerminal(v, id)
				if err != nil {
					return err
				}
				found = append(found, r)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, n := range names {
		set[n] = true
	}
	return set
}

// at adds the field at fault to a refusal.
func at(err error, field string) error {
	var r *refusal.Error
	if errors.As(err, &r) {
		return r.At(field)
	}
	return err
}

// AtSite returns the terminals in service at a site, by id.
func (i *Inventory) AtSite(ctx context.Context, site string) ([]*storagev1.TerminalRecord, error) {
	found, err := i.appendSite(ctx, access.Fold(site), nil)
	return slices.DeleteFunc(found, func(r *storagev1.TerminalRecord) bool { return !inUse(r) }), err
}
