package jobs

import (
	"context"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/calendar"
)

// rereadAfter is how long a site whose settings cannot be read stays closed before they are read again.
const rereadAfter = time.Minute

// site is what the engine knows of a site at which jobs have had targets.
type site struct {
	name string
	// calendar is nil when the settings cannot be read: then nothing that changes something starts there.
	calendar *calendar.Calendar
	// opening is how things stood at checked, and still do unless the clock has passed its end or was set back.
	opening calendar.Opening
	checked time.Time
	// open is how it stood when the engine looked last.
	open bool
	// frozen is set while nothing that no person asked for starts there.
	frozen *fleetv1.FreezeState
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
		s.open = s.at(e.now()).Open
		s.frozen = e.freezes.Frozen(name)
	}
	return s
}

func (e *Engine) readSite(s *site) {
	s.calendar, s.checked = nil, time.Time{}
	stored, err := e.inv.Site(context.Background(), s.name)
	if err == nil {
		s.calendar, err = calendar.New(stored.GetSettings())
	}
	if err != nil {
		e.log.Error("a site's settings cannot be read: nothing that changes something starts there", "site", s.name, "error", err)
	}
}

// at is how things stand at a moment by the wall clock, which may be set forth or back between two looks.
func (s *site) at(now time.Time) calendar.Opening {
	now = now.Round(0)
	past := !s.opening.Until.IsZero() && !now.Before(s.opening.Until)
	if s.checked.IsZero() || now.Before(s.checked) || past {
		s.checked = now
		s.opening = calendar.Opening{Blocker: "settings that cannot be read", Until: now.Add(rereadAfter)}
		if s.calendar != nil {
			s.opening = s.calendar.At(now)
		}
	}
	return s.opening
}

// lookAtSites looks which sites have opened or closed, and takes back at those that have closed what was permitted.
func (e *Engine) lookAtSites(now time.Time) {
	for _, s := range e.sites {
		if s.calendar == nil && !now.Before(s.opening.Until) {
			e.readSite(s)
		}
		if open := s.at(now).Open; open != s.open {
			s.open = open
			e.siteTurned(s)
		}
	}
}

func (e *Engine) siteTurned(s *site) {
	for _, j := range e.active {
		for _, q := range j.queues {
			if q.site == s && j.bound {
				if !s.open {
					e.holdBack(j, q, "the site has closed: "+s.opening.Blocker)
				}
				j.changedThroughout()
			}
		}
	}
}

// nextTurn is when the next site opens or closes; zero when none does.
func (e *Engine) nextTurn() time.Time {
	var next time.Time
	for _, s := range e.sites {
		if u := s.opening.Until; !u.IsZero() && (next.IsZero() || u.Before(next)) {
			next = u
		}
	}
	return next
}
