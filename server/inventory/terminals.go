package inventory

import (
	"context"
	"maps"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// Terminal returns a terminal by id or name. A decommissioned one has lost its name and is found by id only.
func (i *Inventory) Terminal(ctx context.Context, idOrName string) (r *storagev1.TerminalRecord, err error) {
	err = i.store.View(ctx, func(v store.Snapshot) error {
		r, err = findTerminal(v, idOrName)
		return err
	})
	return r, err
}

func findTerminal(r store.Reader, idOrName string) (*storagev1.TerminalRecord, error) {
	notFound := access.NotFound(access.Terminal, clipped(idOrName))
	id := strings.ToUpper(idOrName)
	if !terminalID.MatchString(idOrName) {
		if !terminalName.MatchString(idOrName) {
			return nil, notFound
		}
		named, err := read[fleetv1.Terminal](r, store.TableTerminalNames, store.Key(access.Fold(idOrName)), notFound)
		if err != nil {
			return nil, err
		}
		id = named.GetId()
	}
	return read[storagev1.TerminalRecord](r, store.TableTerminals, store.TerminalKey(id), notFound)
}

// Terminals lists the terminals that the principal may read, by id. An empty selection means all; the terminals and sites
// that a selection names must exist.
func (i *Inventory) Terminals(ctx context.Context, p *access.Principal, sel *fleetv1.Selection, page Page, decommissioned bool) ([]*storagev1.TerminalRecord, string, error) {
	m, err := i.matcher(ctx, p, access.Read, sel)
	if err != nil {
		return nil, "", err
	}
	return list(ctx, i.store, store.TableTerminals, page, func(_, value []byte) (*storagev1.TerminalRecord, bool, error) {
		r := &storagev1.TerminalRecord{}
		if err := proto.Unmarshal(value, r); err != nil {
			return nil, false, err
		}
		return r, i.matches(m, r) && (decommissioned || inUse(r)), nil
	})
}

func inUse(r *storagev1.TerminalRecord) bool {
	return r.GetTerminal().GetState() != fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED
}

// change runs fn on a terminal and stores it with an audit record of what fn says. fn returns nil when nothing is to change.
func (i *Inventory) change(ctx context.Context, idOrName string, fn func(w store.Writer, r *storagev1.TerminalRecord) (*audit.Entry, error)) (r *storagev1.TerminalRecord, err error) {
	err = i.store.Update(ctx, func(w store.Writer) error {
		if r, err = findTerminal(w, idOrName); err != nil {
			return err
		}
		e, err := fn(w, r)
		if err != nil || e == nil {
			return err
		}
		e.Object = "terminal/" + r.GetTerminal().GetId()
		return i.commit(w, r, *e)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// commit stores a terminal under a new etag, with its audit record. It writes three keys.
func (i *Inventory) commit(w store.Writer, r *storagev1.TerminalRecord, e audit.Entry) error {
	if e.Site == "" {
		e.Site = r.GetTerminal().GetSite()
	}
	if err := keepTerminal(w, r); err != nil {
		return err
	}
	return audit.Append(w, i.now(), e)
}

// keepTerminal stores a terminal under a new etag; the caller sees to the audit record.
func keepTerminal(w store.Writer, r *storagev1.TerminalRecord) error {
	t := r.GetTerminal()
	revision, _ := strconv.ParseUint(t.GetEtag(), 10, 64)
	t.Etag = strconv.FormatUint(revision+1, 10)
	return write(w, store.TableTerminals, store.TerminalKey(t.GetId()), r)
}

// changeBy is change for an operator. The right was looked at when the call came in; it is looked at again in the update, for
// the terminal may have been moved to a site of others meanwhile.
func (i *Inventory) changeBy(ctx context.Context, p *access.Principal, right access.Right, idOrName string, fn func(w store.Writer, r *storagev1.TerminalRecord) (*audit.Entry, error)) (*storagev1.TerminalRecord, error) {
	return i.change(ctx, idOrName, func(w store.Writer, r *storagev1.TerminalRecord) (*audit.Entry, error) {
		o := access.Object{Kind: access.Terminal, Name: clipped(idOrName), Field: "terminal"}
		if err := access.CheckSites(p, right, access.Every, o, []string{r.GetTerminal().GetSite()}); err != nil {
			return nil, err
		}
		return fn(w, r)
	})
}

// Label sets and removes labels.
func (i *Inventory) Label(ctx context.Context, p *access.Principal, req *fleetv1.LabelTerminalRequest) (*storagev1.TerminalRecord, error) {
	if err := checkLabels(req); err != nil {
		return nil, err
	}
	return i.changeBy(ctx, p, access.Act, req.GetTerminal(), func(_ store.Writer, r *storagev1.TerminalRecord) (*audit.Entry, error) {
		t := r.GetTerminal()
		if err := mustBeInUse(r); err != nil {
			return nil, err
		}
		if req.GetEtag() != "" && req.GetEtag() != t.GetEtag() {
			return nil, refusal.New(refusal.Conflict, "ETAG_MISMATCH", "terminal %q: was changed meanwhile", t.GetId()).
				At("etag").Then("read it again and decide again")
		}
		before := maps.Clone(t.GetLabels())
		relabel(t, req)
		if len(t.GetLabels()) > maxLabels {
			return nil, refusal.New(refusal.Exhausted, "TOO_MANY_LABELS", "terminal %q: would have %d labels, at most %d are allowed", t.GetId(), len(t.GetLabels()), maxLabels).At("set")
		}
		diff := labelChanges(before, t.GetLabels())
		if len(diff) == 0 {
			return nil, nil
		}
		return &audit.Entry{Actor: p.Name, Verb: "terminal.label", Reason: req.GetReason(), Changes: diff}, nil
	})
}

func relabel(t *fleetv1.Terminal, req *fleetv1.LabelTerminalRequest) {
	if t.Labels == nil {
		t.Labels = map[string]string{}
	}
	maps.Copy(t.Labels, req.GetSet())
	for _, key := range req.GetRemove() {
		delete(t.Labels, key)
	}
}

// Move moves a terminal to another site. busy tells whether it has open tasks, which were made for its old site.
func (i *Inventory) Move(ctx context.Context, p *access.Principal, req *fleetv1.MoveTerminalRequest, busy func(ctx context.Context, terminalID string) (bool, error)) (*storagev1.TerminalRecord, error) {
	if err := wantText("reason", req.GetReason(), "reason", maxReason); err != nil {
		return nil, err
	}
	r, err := i.Terminal(ctx, req.GetTerminal())
	if err != nil {
		return nil, err
	}
	id := r.GetTerminal().GetId()
	if open, err := busy(ctx, id); err != nil || open {
		if err != nil {
			return nil, err
		}
		return nil, refusal.New(refusal.Precondition, "OPEN_TASKS", "terminal %q: has open tasks", id).
			Then("wait for its jobs, or cancel them, and move it then")
	}
	return i.changeBy(ctx, p, access.Admin, id, func(w store.Writer, r *storagev1.TerminalRecord) (*audit.Entry, error) {
		return move(w, p.Name, r, req)
	})
}

func move(w store.Writer, by identity.Name, r *storagev1.TerminalRecord, req *fleetv1.MoveTerminalRequest) (*audit.Entry, error) {
	if err := mustBeInUse(r); err != nil {
		return nil, err
	}
	to, err := readSite(w, req.GetSite(), nil)
	if err != nil {
		return nil, err
	}
	t, from := r.GetTerminal(), r.GetTerminal().GetSite()
	if from == to.GetName() {
		return nil, nil
	}
	if err := countTerminals(w, from, -1); err != nil {
		return nil, err
	}
	if err := countTerminals(w, to.GetName(), 1); err != nil {
		return nil, err
	}
	if err := w.Delete(store.TableTerminalSites, store.TerminalSiteKey(from, t.GetId())); err != nil {
		return nil, err
	}
	t.Site = to.GetName()
	if err := w.Put(store.TableTerminalSites, store.TerminalSiteKey(t.GetSite(), t.GetId()), nil); err != nil {
		return nil, err
	}
	return &audit.Entry{Site: from, Actor: by, Verb: "terminal.move", Reason: req.GetReason(), Changes: changes("site", from, t.GetSite())}, nil
}

// Decommission ends a terminal's service. Its id is never given again; its name is free from now on.
func (i *Inventory) Decommission(ctx context.Context, p *access.Principal, req *fleetv1.DecommissionTerminalRequest) (*storagev1.TerminalRecord, error) {
	if err := wantText("reason", req.GetReason(), "reason", maxReason); err != nil {
		return nil, err
	}
	return i.changeBy(ctx, p, access.Admin, req.GetTerminal(), func(w store.Writer, r *storagev1.TerminalRecord) (*audit.Entry, error) {
		if !inUse(r) {
			return nil, nil
		}
		t := r.GetTerminal()
		if err := countTerminals(w, t.GetSite(), -1); err != nil {
			return nil, err
		}
		if err := w.Delete(store.TableTerminalNames, store.Key(access.Fold(t.GetName()))); err != nil {
			return nil, err
		}
		if err := i.endReEnrolment(w, r); err != nil {
			return nil, err
		}
		old := t.GetState()
		t.State = fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED
		r.TlsKeySha256, r.RenewedKeySha256 = nil, nil
		return &audit.Entry{Actor: p.Name, Verb: "terminal.decommission", Reason: req.GetReason(), Changes: changes("state", old.String(), t.GetState().String())}, nil
	})
}

func mustBeInUse(r *storagev1.TerminalRecord) error {
	if inUse(r) {
		return nil
	}
	return refusal.New(refusal.Precondition, "TERMINAL_DECOMMISSIONED", "terminal %q: is decommissioned", r.GetTerminal().GetId())
}
