package calendar

import (
	"fmt"
	"math"
	"time"
)

// longestName of a time zone, in bytes.
const longestName = 64

// zoneOf finds a time zone by its IANA name; empty means UTC.
func zoneOf(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	// "Local" would be wherever the server happens to stand.
	if err != nil || name == "Local" || len(name) > longestName {
		return nil, fmt.Errorf("%q is no IANA time zone; give one such as Europe/Paris, or none for UTC", clipped(name))
	}
	return zone, nil
}

// period is a span of seconds since 1970 in which the clock runs evenly: what it shows, as seconds since 1970 on its own face,
// is the second plus offset.
type period struct {
	start, end int64
	offset     int64
	// jump is by how much the clock was put forward (or back, when negative) at start.
	jump int64
}

func periodAt(zone *time.Location, now int64) period {
	t := time.Unix(now, 0).In(zone)
	_, offset := t.Zone()
	p := period{start: math.MinInt64, end: math.MaxInt64, offset: int64(offset)}
	start, end := t.ZoneBounds()
	if !start.IsZero() {
		_, before := start.Add(-time.Second).Zone()
		p.start, p.jump = start.Unix(), int64(offset-before)
	}
	if !end.IsZero() {
		p.end = end.Unix()
	}
	return p
}

// around is more than any clock differs from UTC, and than any jump, in seconds.
const around = 3 * 24 * 60 * 60

// periodsNear returns the periods in which the clock may show wall.
func periodsNear(zone *time.Location, wall int64) (all []period) {
	for at := wall - around; at < wall+around; {
		p := periodAt(zone, at)
		all = append(all, p)
		at = p.end
	}
	return all
}

// firstMoment is when the clock shows wall or later for the first time.
func firstMoment(zone *time.Location, wall int64) int64 {
	for _, p := range periodsNear(zone, wall) {
		if at := max(wall-p.offset, p.start); at < p.end {
			return at
		}
	}
	return wall
}

// lastMoment is from when on the clock shows nothing before wall any more.
func lastMoment(zone *time.Location, wall int64) (last int64) {
	for _, p := range periodsNear(zone, wall) {
		if at := wall - p.offset; at > p.start {
			last = min(at, p.end)
		}
	}
	return last
}

// Zone finds a time zone by its IANA name; empty means UTC.
func Zone(name string) (*time.Location, error) { return zoneOf(name) }

// FirstMoment is when a zone's clock shows wall or later for the first time. The fields of wall count, not its own zone.
func FirstMoment(zone *time.Location, wall time.Time) time.Time {
	_, offset := wall.Zone()
	return time.Unix(firstMoment(zone, wall.Unix()+int64(offset)), 0).UTC()
}
