package calendar

import (
	"fmt"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// DateTime is how a moment on a site's clock is written.
const DateTime = "2006-01-02T15:04"

// Years in which a blackout may lie: a typing mistake in the year must not pass for a date.
const (
	firstYear = 2000
	lastYear  = 2199
)

// blackout is a span of seconds since 1970.
type blackout struct {
	start, end int64
	name       string
}

// String implements fmt.Stringer.
func (b blackout) String() string { return "blackout " + b.name }

// blackoutAt is the blackout that lasts longest of those that hold now, or nil.
func (c *Calendar) blackoutAt(now int64) (longest *blackout) {
	for n := range c.blackouts {
		b := &c.blackouts[n]
		if b.start <= now && now < b.end && (longest == nil || b.end > longest.end) {
			longest = b
		}
	}
	return longest
}

func readBlackouts(zone *time.Location, all []*fleetv1.Blackout, problems *Problems) (out []blackout) {
	for n, b := range all {
		start, okStart := problems.dateTime(b.GetStart(), "blackouts[%d].start", n)
		end, okEnd := problems.dateTime(b.GetEnd(), "blackouts[%d].end", n)
		if !okStart || !okEnd {
			continue
		}
		if end <= start {
			problems.add(at("blackouts[%d].end", n), "%s is not after the start, %s", b.GetEnd(), b.GetStart())
			continue
		}
		name := fmt.Sprintf("%q", b.GetReason())
		if b.GetReason() == "" {
			name = fmt.Sprintf("from %s to %s", b.GetStart(), b.GetEnd())
		}
		out = append(out, blackout{firstMoment(zone, start), lastMoment(zone, end), name})
	}
	return out
}

// dateTime reads a moment on the site's clock as what the clock shows, in seconds since 1970 on its own face.
func (p *Problems) dateTime(text, path string, n int) (wall int64, ok bool) {
	t, err := time.Parse(DateTime, text)
	switch {
	case err != nil || t.Format(DateTime) != text:
		p.add(at(path, n), "%q is no date and time; give one such as 2026-12-24T00:00", clipped(text))
	case t.Year() < firstYear || t.Year() > lastYear:
		p.add(at(path, n), "the year %d is not between %d and %d", t.Year(), firstYear, lastYear)
	default:
		return t.Unix(), true
	}
	return 0, false
}
