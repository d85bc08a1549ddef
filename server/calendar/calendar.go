// Package calendar tells when jobs that change something may start tasks at a site: the site's maintenance windows and
// blackouts, read by the site's clock. It is pure: it keeps nothing, waits for nothing and knows no store. The inventory has
// it check settings; the job engine asks it before every start and for when to look again.
//
// The rules where a clock is not a plain line: a window that the clock jumps over opens at the first moment after the jump, for
// as long as it is long; one of which a part is left keeps that part. An hour that comes twice belongs to a window both times.
// A blackout begins when the clock first shows its start or later, and ends when the clock shows nothing before its end any
// more: in doubt a site is closed.
package calendar

import (
	"time"
	// So that a site's zone is known on hosts that have no zone files of their own (Windows, small containers).
	_ "time/tzdata"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// ClosedByWindows is Opening.Blocker when no window is open.
const ClosedByWindows = "maintenance windows"

// Calendar is the windows and blackouts of one site. It is never changed; safe for concurrent use.
type Calendar struct {
	zone *time.Location
	// week is nil when the site is always open but for blackouts.
	week      *week
	blackouts []blackout
}

// Opening is how things stand at a moment.
type Opening struct {
	Open bool
	// Until is the next moment at which Open changes, to the second; zero when it never does.
	Until time.Time
	// Blocker is what keeps it closed: ClosedByWindows, or a blackout by its reason (`blackout "stock-taking"`). Empty when
	// it is open.
	Blocker string
}

// New reads a site's settings; nil ones make a site that is always open, in UTC. The error is Problems, with all that is wrong.
func New(s *fleetv1.SiteSettings) (*Calendar, error) {
	var problems Problems
	zone, err := zoneOf(s.GetTimeZone())
	if err != nil {
		problems.add("time_zone", "%v", err)
		zone = time.UTC
	}
	c := &Calendar{
		zone:      zone,
		week:      newWeek(readSpans(s.GetWindows(), &problems)),
		blackouts: readBlackouts(zone, s.GetBlackouts(), &problems),
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// Zone is the site's time zone.
func (c *Calendar) Zone() *time.Location { return c.zone }

// At tells how things stand at t. The search for Until ends: every step but a few goes past a blackout, and there are few.
func (c *Calendar) At(t time.Time) Opening {
	now := t.Unix()
	o := Opening{Blocker: c.blocker(now)}
	o.Open = o.Blocker == ""
	// Besides blackouts only a change of the zone's offset can make a step at which nothing opens or closes.
	for range 4*len(c.blackouts) + 64 {
		next, any := c.edge(now)
		if !any {
			return o
		}
		if now = next; (c.blocker(now) == "") != o.Open {
			o.Until = time.Unix(now, 0).UTC()
			return o
		}
	}
	return o
}

// blocker is what keeps the site closed, or "".
func (c *Calendar) blocker(now int64) string {
	if b := c.blackoutAt(now); b != nil {
		return b.String()
	}
	if c.week != nil && !c.week.openAt(now, periodAt(c.zone, now)) {
		return ClosedByWindows
	}
	return ""
}

// edge is the next second at which something may open or close.
func (c *Calendar) edge(now int64) (next int64, any bool) {
	if b := c.blackoutAt(now); b != nil {
		return b.end, true
	}
	if c.week != nil {
		next, any = c.week.edge(now, periodAt(c.zone, now)), true
	}
	for _, b := range c.blackouts {
		if b.start > now && (!any || b.start < next) {
			next, any = b.start, true
		}
	}
	return next, any
}
