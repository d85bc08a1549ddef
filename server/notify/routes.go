package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// maxRoutes bounds how many there are: each delivery reads all of them.
const maxRoutes = 200

// readRoutes returns the routes by name.
func readRoutes(v store.Snapshot) (routes []*fleetv1.Route, err error) {
	var bad error
	err = v.Scan(store.TableRoutes, nil, nil, func(_, text []byte) bool {
		r := &fleetv1.Route{}
		if bad = proto.Unmarshal(text, r); bad != nil {
			return false
		}
		routes = append(routes, r)
		return true
	})
	return routes, errors.Join(err, bad)
}

// routeFor returns the first route by which a notice goes to a receiver, nil when there is none.
func routeFor(routes []*fleetv1.Route, receiver string, n *fleetv1.Notice) *fleetv1.Route {
	for _, r := range routes {
		if r.GetReceiver() == receiver && oneOf(r.GetEvents(), n.GetEvent()) && oneOf(r.GetSites(), n.GetSite()) {
			return r
		}
	}
	return nil
}

// oneOf says whether a list that means all when it is empty holds a text.
func oneOf(list []string, text string) bool { return len(list) == 0 || slices.Contains(list, text) }

// Routes returns the routes for all sites and those for sites that the caller may read, by name.
func (d *Desk) Routes(ctx context.Context, p *access.Principal) (routes []*fleetv1.Route, err error) {
	err = d.cfg.Store.View(ctx, func(v store.Snapshot) (err error) {
		routes, err = readRoutes(v)
		return err
	})
	return slices.DeleteFunc(routes, func(r *fleetv1.Route) bool { return !mayKnow(p, r) }), err
}

func mayKnow(p *access.Principal, route *fleetv1.Route) bool {
	return len(route.GetSites()) == 0 || slices.ContainsFunc(route.GetSites(), func(site string) bool { return p.May(access.Read, site) })
}

// SetRoute makes a route or changes it.
func (d *Desk) SetRoute(ctx context.Context, p *access.Principal, r *fleetv1.SetRouteRequest) (*fleetv1.Route, error) {
	route, err := d.checked(ctx, p, r)
	if err != nil {
		return nil, err
	}
	err = d.cfg.Store.Update(ctx, func(w store.Writer) error {
		old, err := readRoute(w, route.GetName())
		if no, ok := errors.AsType[*refusal.Error](err); err != nil && (!ok || no.Kind != refusal.NotFound) {
			return err
		}
		if err := mayChange(p, old); err != nil {
			return err
		}
		text, err := proto.Marshal(route)
		if err != nil {
			return err
		}
		return errors.Join(w.Put(store.TableRoutes, store.Key(route.GetName()), text), d.record(w, p, "route.set", old, route, r.GetReason()))
	})
	return route, err
}

// checked is the route of a request as it is kept.
func (d *Desk) checked(ctx context.Context, p *access.Principal, r *fleetv1.SetRouteRequest) (*fleetv1.Route, error) {
	route := proto.CloneOf(r.GetRoute())
	if route == nil || !validName.MatchString(route.GetName()) {
		return nil, refusal.New(refusal.Invalid, "BAD_NAME", "route %q: want lower case letters, digits and dashes, at most 63", refusal.Shown(route.GetName())).At("route.name")
	}
	if d.find(route.GetReceiver()) == nil {
		return nil, refusal.New(refusal.Invalid, "UNKNOWN_RECEIVER", "receiver %q: is not in the server's configuration", refusal.Shown(route.GetReceiver())).
			At("route.receiver").Then("`fleetctl notify receivers` lists them")
	}
	for i, event := range route.GetEvents() {
		if !slices.Contains(Events(), event) {
			return nil, refusal.New(refusal.Invalid, "UNKNOWN_EVENT", "event %q: there is no such event", refusal.Shown(event)).
				At(fmt.Sprintf("route.events[%d]", i)).Then("events are %s", strings.Join(Events(), ", "))
		}
	}
	if err := audit.CheckReason("reason", r.GetReason()); err != nil {
		return nil, err
	}
	if _, err := render(route.GetTemplate(), sample()); err != nil {
		return nil, refusal.New(refusal.Invalid, "BAD_TEMPLATE", "template: %v", err).At("route.template")
	}
	if err := d.checkSites(ctx, route); err != nil {
		return nil, err
	}
	route.Changed, route.ChangedBy = timestamppb.New(d.cfg.Now()), p.Name.ID
	if err := mayChange(p, route); err != nil {
		return nil, err
	}
	return route, d.room(ctx, route.GetName())
}

// room refuses one route too many.
func (d *Desk) room(ctx context.Context, name string) error {
	return d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		routes, err := readRoutes(v)
		known := slices.ContainsFunc(routes, func(r *fleetv1.Route) bool { return r.GetName() == name })
		if err != nil || known || len(routes) < maxRoutes {
			return err
		}
		return refusal.New(refusal.Exhausted, "TOO_MANY_ROUTES", "route %q: there are %d routes, which is the most", name, maxRoutes).At("route.name").
			Then("delete one that is not needed, or name more sites and events in one")
	})
}

// checkSites folds the sites' names and wants each to exist.
func (d *Desk) checkSites(ctx context.Context, route *fleetv1.Route) error {
	return d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		for i, site := range route.GetSites() {
			route.Sites[i] = access.Fold(site)
			if _, err := v.Get(store.TableSites, store.Key(route.GetSites()[i])); errors.Is(err, store.ErrNotFound) {
				return access.NotFound(access.Site, site).At(fmt.Sprintf("route.sites[%d]", i))
			} else if err != nil {
				return err
			}
		}
		slices.Sort(route.Sites)
		route.Sites = slices.Compact(route.GetSites())
		return nil
	})
}

// mayChange wants the right to administer each site of a route; one without sites is for all.
func mayChange(p *access.Principal, route *fleetv1.Route) error {
	if route == nil {
		return nil
	}
	all, sites := p.Sites(access.Admin)
	if all {
		return nil
	}
	for _, site := range route.GetSites() {
		if !slices.Contains(sites, site) {
			return refusal.New(refusal.Denied, "NOT_ADMIN", "route %q: is for site %q, and you do not administer it", route.GetName(), site).At("route.sites")
		}
	}
	if len(route.GetSites()) == 0 {
		return refusal.New(refusal.Denied, "NOT_ADMIN", "route %q: is for all sites, and you do not administer all of them", route.GetName()).
			At("route.sites").Then("name your sites")
	}
	return nil
}

// DeleteRoute removes one.
func (d *Desk) DeleteRoute(ctx context.Context, p *access.Principal, r *fleetv1.DeleteRouteRequest) error {
	if err := audit.CheckReason("reason", r.GetReason()); err != nil {
		return err
	}
	return d.cfg.Store.Update(ctx, func(w store.Writer) error {
		old, err := readRoute(w, r.GetName())
		if err == nil && !mayKnow(p, old) {
			err = noRoute(r.GetName())
		}
		if err != nil {
			return err
		}
		if err := mayChange(p, old); err != nil {
			return err
		}
		return errors.Join(w.Delete(store.TableRoutes, store.Key(old.GetName())), d.record(w, p, "route.delete", old, nil, r.GetReason()))
	})
}

func noRoute(name string) *refusal.Error {
	return refusal.New(refusal.NotFound, "NOT_FOUND", "route %q: there is no such route", refusal.Shown(name)).At("name").Then("`fleetctl notify routes` lists them")
}

func readRoute(r store.Reader, name string) (*fleetv1.Route, error) {
	text, err := r.Get(store.TableRoutes, store.Key(name))
	if errors.Is(err, store.ErrNotFound) {
		return nil, noRoute(name)
	}
	if err != nil {
		return nil, err
	}
	route := &fleetv1.Route{}
	return route, proto.Unmarshal(text, route)
}

// record writes what became of a route into the audit trail of the fleet: a route may be for several sites.
func (d *Desk) record(w store.Writer, p *access.Principal, verb string, old, now *fleetv1.Route, reason string) error {
	name := old.GetName()
	if now != nil {
		name = now.GetName()
	}
	return audit.Append(w, d.cfg.Now(), audit.Entry{
		Actor: p.Name, Verb: verb, Object: "route/" + name, Reason: reason, Changes: []*storagev1.AuditChange{
			audit.Change("receiver", old.GetReceiver(), now.GetReceiver()),
			audit.Change("sites", strings.Join(old.GetSites(), ","), strings.Join(now.GetSites(), ",")),
			audit.Change("events", strings.Join(old.GetEvents(), ","), strings.Join(now.GetEvents(), ",")),
			audit.Change("template", line(old.GetTemplate(), maxDetail), line(now.GetTemplate(), maxDetail)),
		},
	})
}
