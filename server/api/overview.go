package api

import (
	"context"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/inventory"
)

// GetOverview implements JobService. No task and no terminal's record is read but those of terminals with a fault: the engine has
// counts of what is active, the sites have theirs, and who is online is asked of the sessions.
func (s *Jobs) GetOverview(ctx context.Context, _ *fleetv1.GetOverviewRequest) (*fleetv1.GetOverviewResponse, error) {
	p := access.From(ctx)
	answer, unhealthy, err := s.engine.Overview(ctx, p)
	if err != nil {
		return nil, err
	}
	page := inventory.Page{Size: sitesAtATime}
	for {
		sites, next, err := s.inventory.Sites(ctx, p, page)
		if err != nil {
			return nil, err
		}
		for _, site := range sites {
			online, err := s.inventory.CountOnline(ctx, site.GetName(), s.sessions)
			if err != nil {
				return nil, err
			}
			answer.Sites = append(answer.Sites, &fleetv1.SiteOverview{
				Name: site.GetName(), Terminals: site.GetTerminals(), Online: online, Unhealthy: unhealthy[site.GetName()],
			})
		}
		if next == "" {
			return answer, nil
		}
		page.Token = next
	}
}

// sitesAtATime is how many sites one view reads.
const sitesAtATime = 1000
