package inventory

import (
	"context"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/store"
)

// CreateSite adds a site.
func (i *Inventory) CreateSite(ctx context.Context, by identity.Name, req *fleetv1.CreateSiteRequest) (*fleetv1.Site, error) {
	name := access.Fold(req.GetName())
	if err := wantName("site", siteName, name, "name", "letters, digits and dashes, at most 63"); err != nil {
		return nil, err
	}
	if err := wantText("description", req.GetDescription(), "description", maxDescription); err != nil {
		return nil, err
	}
	request, err := requests.New(by.String(), "site.create", req)
	if err != nil {
		return nil, err
	}
	var s *fleetv1.Site
	err = i.store.Update(ctx, func(w store.Writer) error {
		if done, err := request.Done(w); err != nil || done != "" {
			s, err = readSite(w, done, err)
			return err
		}
		s = &fleetv1.Site{Etag: "1", Name: name, Description: req.GetDescription(), Created: timestamppb.New(i.now())}
		return i.addSite(w, by, request, s)
	})
	if err != nil {
		return nil, err
	}
	return tagged(s), nil
}

func (i *Inventory) addSite(w store.Writer, by identity.Name, request *requests.Request, s *fleetv1.Site) error {
	if there, err := has(w, store.TableSites, store.Key(s.GetName())); err != nil || there {
		return orExists(err, access.Site, s.GetName())
	}
	if err := write(w, store.TableSites, store.Key(s.GetName()), s); err != nil {
		return err
	}
	if err := request.Remember(w, i.now(), s.GetName()); err != nil {
		return err
	}
	return audit.Append(w, i.now(), audit.Entry{
		Site: s.GetName(), Actor: by, Verb: "site.create", Object: "site/" + s.GetName(),
		Changes: siteChanges(&fleetv1.Site{}, s),
	})
}

// Site returns a site by name, without its count of terminals that are online.
func (i *Inventory) Site(ctx context.Context, name string) (*fleetv1.Site, error) {
	s, err := view[fleetv1.Site](ctx, i.store, store.TableSites, store.Key(access.Fold(name)), access.NotFound(access.Site, name))
	if err != nil {
		return nil, err
	}
	return tagged(s), nil
}

// Sites lists the sites that the principal may read, by name.
func (i *Inventory) Sites(ctx context.Context, p *access.Principal, page Page) ([]*fleetv1.Site, string, error) {
	return list(ctx, i.store, store.TableSites, page, func(key, value []byte) (*fleetv1.Site, bool, error) {
		if !p.May(access.Read, string(key)) {
			return nil, false, nil
		}
		s := &fleetv1.Site{}
		err := proto.Unmarshal(value, s)
		return tagged(s), true, err
	})
}

// CountOnline counts the terminals of a site that have a session.
func (i *Inventory) CountOnline(ctx context.Context, site string, who Presence) (n uint32, err error) {
	err = scanAll(ctx, i.store, store.TableTerminalSites, store.Prefix(site), nil, func(key, _ []byte) (bool, error) {
		if who.Online(store.TerminalOfSiteKey(key)) {
			n++
		}
		return true, nil
	})
	return n, err
}

// readSite reads a site within an update, unless there is an error already.
func readSite(r store.Reader, name string, err error) (*fleetv1.Site, error) {
	if err != nil {
		return nil, err
	}
	return read[fleetv1.Site](r, store.TableSites, store.Key(access.Fold(name)), access.NotFound(access.Site, name))
}

// countTerminals changes how many terminals of a site are in service.
func countTerminals(w store.Writer, site string, by int) error {
	s, err := readSite(w, site, nil)
	if err != nil {
		return err
	}
	s.Terminals = uint32(int(s.GetTerminals()) + by)
	return write(w, store.TableSites, store.Key(s.GetName()), s)
}

func orExists(err error, kind access.ObjectKind, name string) error {
	if err != nil {
		return err
	}
	return refusal.New(refusal.Exists, "ALREADY_EXISTS", "%s %q: exists already", kind, name)
}

// changes lists (name, old, new) triples, leaving out what did not change.
func changes(triples ...string) (out []*storagev1.AuditChange) {
	for t := range triplesOf(triples) {
		if t[1] != t[2] {
			out = append(out, audit.Change(t[0], t[1], t[2]))
		}
	}
	return out
}

func triplesOf(all []string) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for ; len(all) >= 3; all = all[3:] {
			if !yield(all[:3]) {
				return
			}
		}
	}
}
