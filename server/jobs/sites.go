package jobs

import (
	"context"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// site is what the engine knows of a site at which active jobs have targets.
type site struct {
	name     string
	settings *fleetv1.SiteSettings
}

// SiteChanged tells that a site's settings were written. Those of a site without active jobs are read when the next one comes.
func (e *Engine) SiteChanged(ctx context.Context, name string) error {
	return e.do(context.WithoutCancel(ctx), func() {
		if s := e.sites[name]; s != nil {
			e.readSite(s)
		}
	})
}

// site returns a site's state, read from the inventory when no job had targets there before. The loop reads it, so that of two
// changes the later one counts.
func (e *Engine) site(name string) *site {
	s := e.sites[name]
	if s == nil {
		s = &site{name: name}
		e.sites[name] = s
		e.readSite(s)
	}
	return s
}

func (e *Engine) readSite(s *site) {
	stored, err := e.inv.Site(context.Background(), s.name)
	if err != nil {
		e.log.Error("a site's settings cannot be read", "site", s.name, "error", err)
		return
	}
	s.settings = stored.GetSettings()
}
