package schedule

import (
	"errors"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/bandfleet/bandfleet/server/calendar"
	"github.com/bandfleet/bandfleet/server/refusal"
)

const (
	// cronFields is how many fields an expression has: minute, hour, day of month, month, day of week.
	cronFields = 5
	// maxCron is the longest expression, in bytes.
	maxCron = 200
)

// clock is when a schedule's times come: a cron expression read by a zone's clock. The library matches the expression against the fields
// of a time in UTC; what a zone's clock does is this package's business.
type clock struct {
	faces cron.Schedule
	zone  *time.Location
}

// newClock reads an expression and a zone. One that never comes is refused.
func newClock(text, zone string, now time.Time) (*clock, error) {
	faces, err := parseCron(text)
	if err != nil {
		return nil, refusal.New(refusal.Invalid, "BAD_CRON", "cron %q: is no expression of five fields (minute, hour, day of month, month, day of week)", refusal.Shown(text)).
			At("cron").Then(`give one such as "30 2 * * *", which is every day at 02:30`)
	}
	location, err := calendar.Zone(zone)
	if err != nil {
		return nil, refusal.New(refusal.Invalid, "BAD_TIME_ZONE", "time zone: %s", err).At("time_zone")
	}
	c := &clock{faces: faces, zone: location}
	if _, ok := c.after(now); !ok {
		return nil, refusal.New(refusal.Invalid, "BAD_CRON", "cron %q: never comes", refusal.Shown(text)).At("cron").Then("give a day that a month of it has")
	}
	return c, nil
}

// parseCron reads five fields. What the library takes beyond them (names such as @daily, a zone of its own) is refused first: a zone
// without a field makes it panic.
func parseCron(text string) (cron.Schedule, error) {
	if len(strings.Fields(text)) != cronFields || len(text) > maxCron || strings.ContainsAny(text, "@?=\n\r") {
		return nil, errors.New("is no expression of five fields")
	}
	return cron.ParseStandard(text)
}

// after is the first time that comes after t; false when none does. The expression is matched against what the zone's clock shows. A time
// that the clock jumps over comes at the first moment after the jump; one that it shows twice comes the first time.
func (c *clock) after(t time.Time) (time.Time, bool) {
	local := t.In(c.zone)
	face := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), 0, time.UTC)
	for {
		next := c.faces.Next(face)
		if next.IsZero() {
			return time.Time{}, false
		}
		if moment := calendar.FirstMoment(c.zone, next); moment.After(t) {
			return moment, true
		}
		face = next
	}
}
