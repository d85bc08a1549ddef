package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// Freezes keeps where nothing starts that no person asked for. Safe for concurrent use.
type Freezes struct {
	store store.Store
	now   func() time.Time
	// reading is held from the look into the store until what was found counts, so that no older state replaces a newer one.
	reading sync.Mutex
	mu      sync.RWMutex
	// bySite has "*" for everywhere.
	bySite map[string]*fleetv1.FreezeState
}

// OpenFreezes reads the freezes of a store.
func OpenFreezes(ctx context.Context, st store.Store, now func() time.Time) (*Freezes, error) {
	f := &Freezes{store: st, now: now}
	return f, f.reread(ctx)
}

func (f *Freezes) reread(ctx context.Context) error {
	f.reading.Lock()
	defer f.reading.Unlock()
	all := map[string]*fleetv1.FreezeState{}
	err := f.store.View(ctx, func(v store.Snapshot) error {
		clear(all)
		var bad error
		err := v.Scan(store.TableFreezes, nil, nil, func(key, text []byte) bool {
			s := &fleetv1.FreezeState{}
			if bad = proto.Unmarshal(text, s); bad != nil {
				bad = fmt.Errorf("freeze %q: %w", key, bad)
			}
			all[string(key)] = s
			return bad == nil
		})
		return errors.Join(err, bad)
	})
	if err == nil {
		f.mu.Lock()
		f.bySite = all
		f.mu.Unlock()
	}
	return err
}

// Frozen returns the freeze that holds at a site, that of all sites first; nil when there is none.
func (f *Freezes) Frozen(site string) *fleetv1.FreezeState {
	if f == nil {
		return nil
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	if all := f.bySite[access.AllSites]; all != nil {
		return all
	}
	return f.bySite[access.Fold(site)]
}

// List returns all, that of everywhere first.
func (f *Freezes) List() (all []*fleetv1.FreezeState) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, s := range f.bySite {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *fleetv1.FreezeState) int { return strings.Compare(a.GetSite(), b.GetSite()) })
	return all
}

// ListFreezes returns what is frozen, everywhere first, as far as it binds a site of the caller's.
func (e *Engine) ListFreezes(p *access.Principal) []*fleetv1.FreezeState {
	return slices.DeleteFunc(e.cfg.Freezes.List(), func(f *fleetv1.FreezeState) bool {
		return f.GetSite() != "" && !p.May(access.Read, f.GetSite())
	})
}

// Freeze stops all that is started without a person, at a site or (an empty one) everywhere. One that holds already stays as it is.
func (e *Engine) Freeze(ctx context.Context, p *access.Principal, r *fleetv1.FreezeRequest) (held *fleetv1.FreezeState, err error) {
	site, err := e.freezable(ctx, p, r.GetSite(), r.GetReason())
	if err != nil {
		return nil, err
	}
	err = e.cfg.Store.Update(ctx, func(w store.Writer) error {
		if held, err = readFreeze(w, site); err != nil || held != nil {
			return err
		}
		held = &fleetv1.FreezeState{Site: site, Since: timestamppb.New(e.cfg.Now()), By: p.Name.ID, Reason: r.GetReason()}
		return errors.Join(put(w, store.TableFreezes, freezeKey(site), held), e.tellOfFreeze(w, site, frozenWords(held)),
			audit.Append(w, e.cfg.Now(), audit.Entry{Site: site, Actor: p.Name, Verb: "freeze.set", Object: "freeze/" + orAll(site), Reason: r.GetReason()}))
	})
	if err != nil {
		return nil, err
	}
	return held, e.freezeChanged(ctx)
}

// Unfreeze lifts a freeze. It is no error when there is none.
func (e *Engine) Unfreeze(ctx context.Context, p *access.Principal, r *fleetv1.UnfreezeRequest) error {
	site, err := e.freezable(ctx, p, r.GetSite(), r.GetReason())
	if err != nil {
		return err
	}
	err = e.cfg.Store.Update(ctx, func(w store.Writer) error {
		held, err := readFreeze(w, site)
		if err != nil || held == nil {
			return err
		}
		entry := audit.Entry{Site: site, Actor: p.Name, Verb: "freeze.lift", Object: "freeze/" + orAll(site), Reason: r.GetReason()}
		told := fmt.Sprintf("no longer %s: lifted by %s: %s", whereFrozen(held), p.Name.ID, r.GetReason())
		return errors.Join(w.Delete(store.TableFreezes, freezeKey(site)), e.tellOfFreeze(w, site, told), audit.Append(w, e.cfg.Now(), entry))
	})
	if err != nil {
		return err
	}
	return e.freezeChanged(ctx)
}

// freezable checks who wants to freeze or unfreeze what, and returns the site as it is kept.
func (e *Engine) freezable(ctx context.Context, p *access.Principal, name, reason string) (string, error) {
	if reason == "" {
		return "", refusal.New(refusal.Invalid, "NO_REASON", "no reason is given").At("reason").Then("say why, with --reason")
	}
	if err := audit.CheckReason("reason", reason); err != nil {
		return "", err
	}
	if name == "" {
		if all, _ := p.Sites(access.Admin); !all {
			return "", errDenied(p, "freeze", "everywhere", nil, "an administrator of")
		}
		return "", nil
	}
	site := access.Fold(name)
	if err := access.CheckSites(p, access.Act, access.Every, access.Object{Kind: access.Site, Name: name, Field: "site"}, []string{site}); err != nil {
		return "", err
	}
	_, err := e.cfg.Inventory.Site(ctx, site)
	return site, err
}

// freezeChanged has everybody go by the freezes as they are now.
func (e *Engine) freezeChanged(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if err := e.cfg.Freezes.reread(ctx); err != nil {
		return err
	}
	e.rethink()
	return e.cfg.Jobs.FreezeChanged(ctx)
}

func readFreeze(r store.Reader, site string) (*fleetv1.FreezeState, error) {
	text, err := r.Get(store.TableFreezes, freezeKey(site))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &fleetv1.FreezeState{}
	return s, proto.Unmarshal(text, s)
}

func freezeKey(site string) []byte { return store.Key(orAll(site)) }

func orAll(site string) string {
	if site == "" {
		return access.AllSites
	}
	return site
}

// tellOfFreeze has people told that a freeze was set or lifted.
func (e *Engine) tellOfFreeze(w store.Writer, site, summary string) error {
	if e.cfg.Notices == nil {
		return nil
	}
	return e.cfg.Notices.Post(w, &fleetv1.Notice{Event: "freeze", Site: site, Object: "freeze/" + orAll(site), Summary: summary})
}

// frozenWords says who has frozen what.
func frozenWords(f *fleetv1.FreezeState) string {
	return fmt.Sprintf("%s by %s: %s", whereFrozen(f), f.GetBy(), f.GetReason())
}

func whereFrozen(f *fleetv1.FreezeState) string {
	if f.GetSite() == "" {
		return "frozen everywhere"
	}
	return "frozen at " + f.GetSite()
}
