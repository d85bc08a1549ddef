package api

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/bands"
	"github.com/bandfleet/bandfleet/server/inventory"
)

// Sessions is what the handlers need of the agents' sessions.
type Sessions interface {
	inventory.Presence
	// Kick ends a terminal's session, if it has one.
	Kick(terminalID, reason string)
}

// Tasks is what the handlers need of the job engine.
type Tasks interface {
	// Busy tells whether a terminal has tasks without result.
	Busy(ctx context.Context, terminalID string) (bool, error)
	// Retire ends the tasks of a decommissioned terminal.
	Retire(ctx context.Context, terminalID string) error
	// Released tells it that a terminal's quarantine has ended.
	Released(ctx context.Context, terminalID string) error
	// SiteChanged tells it that a site's settings were written; name is the site's folded name.
	SiteChanged(ctx context.Context, name string) error
}

// Inventory serves fleet.v1.InventoryService.
type Inventory struct {
	fleetv1.UnimplementedInventoryServiceServer
	inventory *inventory.Inventory
	sessions  Sessions
	tasks     Tasks
	bands     *bands.Register
	estates   []Estate
}

// Estate is what goes when its terminal is decommissioned.
type Estate interface {
	// Forget removes what belongs to a terminal. It may be repeated.
	Forget(ctx context.Context, terminalID string) error
}

// NewInventory makes the service.
func NewInventory(i *inventory.Inventory, s Sessions, t Tasks, b *bands.Register, estates ...Estate) *Inventory {
	return &Inventory{inventory: i, sessions: s, tasks: t, bands: b, estates: estates}
}

func caller(ctx context.Context) identity.Name { return access.From(ctx).Name }

// CreateSite implements the service.
func (s *Inventory) CreateSite(ctx context.Context, req *fleetv1.CreateSiteRequest) (*fleetv1.CreateSiteResponse, error) {
	site, err := s.inventory.CreateSite(ctx, caller(ctx), req)
	if err != nil {
		return nil, err
	}
	return &fleetv1.CreateSiteResponse{Site: site}, s.countOnline(ctx, site)
}

// GetSite implements the service.
func (s *Inventory) GetSite(ctx context.Context, req *fleetv1.GetSiteRequest) (*fleetv1.GetSiteResponse, error) {
	site, err := s.inventory.Site(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return &fleetv1.GetSiteResponse{Site: site}, s.countOnline(ctx, site)
}

// ListSites implements the service.
func (s *Inventory) ListSites(ctx context.Context, req *fleetv1.ListSitesRequest) (*fleetv1.ListSitesResponse, error) {
	sites, next, err := s.inventory.Sites(ctx, access.From(ctx), inventory.Page{Size: req.GetPageSize(), Token: req.GetPageToken()})
	if err != nil {
		return nil, err
	}
	return &fleetv1.ListSitesResponse{Sites: sites, NextPageToken: next}, s.countOnline(ctx, sites...)
}

func (s *Inventory) countOnline(ctx context.Context, sites ...*fleetv1.Site) (err error) {
	for _, site := range sites {
		if site.Online, err = s.inventory.CountOnline(ctx, site.GetName(), s.sessions); err != nil {
			return err
		}
	}
	return nil
}

// SetSite implements the service. The job engine hears of it after it is on disk.
func (s *Inventory) SetSite(ctx context.Context, req *fleetv1.SetSiteRequest) (*fleetv1.SetSiteResponse, error) {
	site, err := s.inventory.SetSite(ctx, caller(ctx), req)
	if err != nil {
		return nil, err
	}
	if err := s.tasks.SiteChanged(ctx, site.GetName()); err != nil {
		return nil, err
	}
	return &fleetv1.SetSiteResponse{Site: site}, s.countOnline(ctx, site)
}

// Import implements the service. The job engine hears of every site that was changed, also when the rest must wait.
func (s *Inventory) Import(ctx context.Context, req *fleetv1.ImportRequest) (*fleetv1.ImportResponse, error) {
	counts, changed, err := s.inventory.Import(ctx, access.From(ctx), req)
	for _, site := range changed {
		err = errors.Join(err, s.tasks.SiteChanged(ctx, site))
	}
	if err != nil {
		return nil, err
	}
	return counts, nil
}

// GetTerminal implements the service.
func (s *Inventory) GetTerminal(ctx context.Context, req *fleetv1.GetTerminalRequest) (*fleetv1.GetTerminalResponse, error) {
	t, err := s.shown(s.inventory.Terminal(ctx, req.GetTerminal()))(ctx)
	return &fleetv1.GetTerminalResponse{Terminal: t}, err
}

// ListTerminals implements the service.
func (s *Inventory) ListTerminals(ctx context.Context, req *fleetv1.ListTerminalsRequest) (*fleetv1.ListTerminalsResponse, error) {
	page := inventory.Page{Size: req.GetPageSize(), Token: req.GetPageToken()}
	records, next, err := s.inventory.Terminals(ctx, access.From(ctx), req.GetSelection(), page, req.GetIncludeDecommissioned())
	if err != nil {
		return nil, err
	}
	out := &fleetv1.ListTerminalsResponse{NextPageToken: next}
	for _, r := range records {
		t, err := s.show(ctx, r)
		if err != nil {
			return nil, err
		}
		out.Terminals = append(out.Terminals, t)
	}
	return out, nil
}

// LabelTerminal implements the service.
func (s *Inventory) LabelTerminal(ctx context.Context, req *fleetv1.LabelTerminalRequest) (*fleetv1.LabelTerminalResponse, error) {
	t, err := s.shown(s.inventory.Label(ctx, access.From(ctx), req))(ctx)
	return &fleetv1.LabelTerminalResponse{Terminal: t}, err
}

// MoveTerminal implements the service.
func (s *Inventory) MoveTerminal(ctx context.Context, req *fleetv1.MoveTerminalRequest) (*fleetv1.MoveTerminalResponse, error) {
	t, err := s.shown(s.inventory.Move(ctx, access.From(ctx), req, s.tasks.Busy))(ctx)
	return &fleetv1.MoveTerminalResponse{Terminal: t}, err
}

// DecommissionTerminal implements the service. The session is cut, and the tasks are ended, after the decision is on disk.
func (s *Inventory) DecommissionTerminal(ctx context.Context, req *fleetv1.DecommissionTerminalRequest) (*fleetv1.DecommissionTerminalResponse, error) {
	r, err := s.inventory.Decommission(ctx, access.From(ctx), req)
	if err != nil {
		return nil, err
	}
	s.sessions.Kick(r.GetTerminal().GetId(), "decommissioned")
	if err := s.tasks.Retire(ctx, r.GetTerminal().GetId()); err != nil {
		return nil, err
	}
	for _, e := range s.estates {
		if err := e.Forget(ctx, r.GetTerminal().GetId()); err != nil {
			return nil, err
		}
	}
	t, err := s.show(ctx, r)
	return &fleetv1.DecommissionTerminalResponse{Terminal: t}, err
}

// ReleaseTerminal implements the service. The job engine hears of it after it is on disk, and again when it is repeated.
func (s *Inventory) ReleaseTerminal(ctx context.Context, req *fleetv1.ReleaseTerminalRequest) (*fleetv1.ReleaseTerminalResponse, error) {
	r, err := s.inventory.Release(ctx, access.From(ctx), req)
	if err != nil {
		return nil, err
	}
	if err := s.tasks.Released(ctx, r.GetTerminal().GetId()); err != nil {
		return nil, err
	}
	t, err := s.show(ctx, r)
	return &fleetv1.ReleaseTerminalResponse{Terminal: t}, err
}

// ReEnrolTerminal implements the service. The session is cut after the decision is on disk.
func (s *Inventory) ReEnrolTerminal(ctx context.Context, req *fleetv1.ReEnrolTerminalRequest) (*fleetv1.ReEnrolTerminalResponse, error) {
	text, token, err := s.inventory.ReEnrol(ctx, access.From(ctx), req)
	if err != nil {
		return nil, err
	}
	s.sessions.Kick(token.GetTerminalId(), "to be enrolled anew")
	return &fleetv1.ReEnrolTerminalResponse{Token: text, Expires: token.GetExpires()}, nil
}

// shown makes what a domain call returned into a terminal for people.
func (s *Inventory) shown(r *storagev1.TerminalRecord, err error) func(context.Context) (*fleetv1.Terminal, error) {
	return func(ctx context.Context) (*fleetv1.Terminal, error) {
		if err != nil {
			return nil, err
		}
		return s.show(ctx, r)
	}
}

// show fills in what is not stored. The record is the caller's own copy.
func (s *Inventory) show(ctx context.Context, r *storagev1.TerminalRecord) (t *fleetv1.Terminal, err error) {
	t = r.GetTerminal()
	if t.Plugins, err = s.inventory.Installed(ctx, r); err != nil {
		return nil, err
	}
	if t.Online = s.sessions.Online(t.GetId()); t.GetOnline() {
		t.LastSeen = timestamppb.New(time.Now())
	}
	return t, nil
}

// CreateBand implements the service.
func (s *Inventory) CreateBand(ctx context.Context, req *fleetv1.CreateBandRequest) (*fleetv1.CreateBandResponse, error) {
	b, err := s.inventory.CreateBand(ctx, caller(ctx), req)
	return &fleetv1.CreateBandResponse{Band: b}, err
}

// GetBand implements the service.
func (s *Inventory) GetBand(ctx context.Context, req *fleetv1.GetBandRequest) (*fleetv1.GetBandResponse, error) {
	b, err := s.bands.Band(ctx, req.GetSerial())
	return &fleetv1.GetBandResponse{Band: b}, err
}

// ListBands implements the service.
func (s *Inventory) ListBands(ctx context.Context, req *fleetv1.ListBandsRequest) (*fleetv1.ListBandsResponse, error) {
	bands, next, err := s.inventory.Bands(ctx, access.From(ctx), req)
	return &fleetv1.ListBandsResponse{Bands: bands, NextPageToken: next}, err
}

// SetBandStatus implements the service.
func (s *Inventory) SetBandStatus(ctx context.Context, req *fleetv1.SetBandStatusRequest) (*fleetv1.SetBandStatusResponse, error) {
	b, err := s.inventory.SetBandStatus(ctx, caller(ctx), req)
	return &fleetv1.SetBandStatusResponse{Band: b}, err
}

// ListActions implements the service.
func (s *Inventory) ListActions(ctx context.Context, _ *fleetv1.ListActionsRequest) (*fleetv1.ListActionsResponse, error) {
	actions, err := s.inventory.Actions(ctx, access.From(ctx))
	return &fleetv1.ListActionsResponse{Actions: actions}, err
}

// GetAction implements the service.
func (s *Inventory) GetAction(ctx context.Context, req *fleetv1.GetActionRequest) (*fleetv1.GetActionResponse, error) {
	actions, err := s.inventory.Action(ctx, access.From(ctx), req.GetName())
	return &fleetv1.GetActionResponse{Actions: actions}, err
}

// ReportBand implements the service.
func (s *Inventory) ReportBand(ctx context.Context, req *fleetv1.ReportBandRequest) (*fleetv1.ReportBandResponse, error) {
	return s.bands.Report(ctx, access.From(ctx), req)
}
