package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/store"
)

// book is the policies in the order in which they are asked, as they were read last.
type book struct {
	pages atomic.Pointer[edition]
	// reading is held from the look into the store until what was found counts, so that no older state replaces a newer one.
	reading sync.Mutex
}

// edition is one state of all policies. It is never changed.
type edition struct {
	number   uint64
	policies []*fleetv1.Policy
}

// current is never nil.
func (b *book) current() *edition {
	if now := b.pages.Load(); now != nil {
		return now
	}
	return &edition{}
}

// reread takes the policies in as they are stored.
func (e *Engine) reread(ctx context.Context) error {
	e.book.reading.Lock()
	defer e.book.reading.Unlock()
	var all []*fleetv1.Policy
	err := e.cfg.Store.View(ctx, func(v store.Snapshot) (err error) {
		all, err = readAll(v)
		return err
	})
	if err != nil {
		return err
	}
	e.book.pages.Store(&edition{number: e.book.current().number + 1, policies: all})
	e.rethink()
	return nil
}

// readAll reads every policy, sorted as they are asked.
func readAll(v store.Snapshot) (all []*fleetv1.Policy, err error) {
	var bad error
	err = v.Scan(store.TablePolicies, nil, nil, func(key, text []byte) bool {
		p := &fleetv1.Policy{}
		if bad = proto.Unmarshal(text, p); bad != nil {
			bad = fmt.Errorf("policy %q: %w", key, bad)
		}
		all = append(all, p)
		return bad == nil
	})
	slices.SortFunc(all, func(a, b *fleetv1.Policy) int {
		return cmp.Or(cmp.Compare(a.GetOrder(), b.GetOrder()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return all, errors.Join(err, bad)
}

// choose returns the first policy that is for an entry at a site and role; nil when none is.
func (n *edition) choose(entry *catalogue.Entry, site string, role fleetv1.TerminalRole) *fleetv1.Policy {
	for _, p := range n.policies {
		if !p.GetDisabled() && fits(p, entry, site, role) {
			return p
		}
	}
	return nil
}

// fits says whether a policy is for an entry at a site and role.
func fits(p *fleetv1.Policy, entry *catalogue.Entry, site string, role fleetv1.TerminalRole) bool {
	anyRole := fleetv1.TerminalRole_TERMINAL_ROLE_UNSPECIFIED
	return oneOf(p.GetEntries(), entry.ID) && oneOf(p.GetSites(), access.Fold(site)) &&
		(p.GetRole() == anyRole || role == anyRole || p.GetRole() == role) &&
		oneOf(p.GetKinds(), string(entry.Remedy.Kind)) && takesOnly(p.GetActions(), entry.Remedy.Steps)
}

// oneOf says whether a list has a name; an empty list has all.
func oneOf(list []string, name string) bool { return len(list) == 0 || slices.Contains(list, name) }

// takesOnly says whether a remedy has steps and takes no other actions than these.
func takesOnly(actions []string, steps []catalogue.Step) bool {
	if len(actions) == 0 {
		return true
	}
	return len(steps) > 0 && !slices.ContainsFunc(steps, func(s catalogue.Step) bool { return !slices.Contains(actions, s.Action) })
}
