package calendar_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/calendar"
)

// walk is the rules read minute by minute, without any arithmetic on zones: what the clock of the site shows is all it has.
type walk struct {
	settings *fleetv1.SiteSettings
	start    time.Time
	// shown is the clock at each minute from start, as if its face were UTC.
	shown []time.Time
	open  []bool
}

func newWalk(s *fleetv1.SiteSettings, zone *time.Location, start time.Time, minutes int) *walk {
	w := &walk{settings: s, start: start, shown: make([]time.Time, minutes), open: make([]bool, minutes)}
	for n := range w.shown {
		y, m, d := start.Add(time.Duration(n) * time.Minute).In(zone).Date()
		hour, minute, _ := start.Add(time.Duration(n) * time.Minute).In(zone).Clock()
		w.shown[n] = time.Date(y, m, d, hour, minute, 0, 0, time.UTC)
		w.open[n] = len(s.GetWindows()) == 0
	}
	for _, window := range s.GetWindows() {
		w.openFor(window)
	}
	for _, b := range s.GetBlackouts() {
		w.close(b)
	}
	return w
}

// openFor goes through the days on which a window opens.
func (w *walk) openFor(window *fleetv1.Window) {
	last := w.shown[len(w.shown)-1]
	for day := w.shown[0].Truncate(24*time.Hour).AddDate(0, 0, -2); !day.After(last); day = day.AddDate(0, 0, 1) {
		weekday := uint32((int(day.Weekday())+6)%7) + 1
		meant := len(window.GetDays()) == 0
		for _, d := range window.GetDays() {
			meant = meant || d == weekday
		}
		if meant {
			from := onDay(day, window.GetStart())
			to := onDay(day, window.GetEnd())
			if !to.After(from) {
				to = to.AddDate(0, 0, 1)
			}
			w.openFrom(from, to)
		}
	}
}

func onDay(day time.Time, text string) time.Time {
	t, err := time.Parse("15:04", text)
	if err != nil {
		panic(err)
	}
	return day.Add(time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute)
}

// openFrom opens every minute that shows a time between from and to, or, when the clock jumped over all of them, as many after
// the jump.
func (w *walk) openFrom(from, to time.Time) {
	for n, shown := range w.shown {
		if !shown.Before(from) && shown.Before(to) {
			w.open[n] = true
		}
		if n > 0 && w.shown[n-1].Before(from) && !shown.Before(to) {
			for k := n; k < min(len(w.open), n+int(to.Sub(from)/time.Minute)); k++ {
				w.open[k] = true
			}
		}
	}
}

func (w *walk) close(b *fleetv1.Blackout) {
	from, _ := time.Parse(calendar.DateTime, b.GetStart())
	to, _ := time.Parse(calendar.DateTime, b.GetEnd())
	first, end := len(w.shown), 0
	for n, shown := range w.shown {
		if first == len(w.shown) && !shown.Before(from) {
			first = n
		}
		if shown.Before(to) {
			end = n + 1
		}
	}
	for n := first; n < end; n++ {
		w.open[n] = false
	}
}

// places are zones with something odd, and a day near it.
func places() map[string][]string {
	return map[string][]string{
		"Europe/Paris":        {"2026-03-29", "2026-10-25", "2027-03-28", "2035-10-28"},
		"America/New_York":    {"2026-03-08", "2026-11-01", "2003-04-06"},
		"Australia/Lord_Howe": {"2026-04-05", "2026-10-04"},
		"America/Santiago":    {"2026-04-05", "2026-09-06"},
		"Pacific/Apia":        {"2011-12-30", "2012-04-01"},
		"Africa/Casablanca":   {"2026-02-15", "2026-03-22"},
		"Asia/Kathmandu":      {"2026-06-01"},
		"UTC":                 {"2026-02-28", "2028-02-29"},
	}
}

// TestAtAgreesWithAWalk compares every answer with the walk: Open at any second, and Until with the first minute at which the
// walk's answer changes. A start that is a minute wrong is a service stopped while a line is producing.
func TestAtAgreesWithAWalk(t *testing.T) {
	names := []string{
		"Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Pacific/Apia", "Africa/Casablanca", "Asia/Kathmandu", "UTC",
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "zone")
		day, _ := time.Parse(time.DateOnly, rapid.SampledFrom(places()[name]).Draw(t, "day"))
		settings := &fleetv1.SiteSettings{TimeZone: name, Windows: drawWindows(t), Blackouts: drawBlackouts(t, day)}
		c, err := calendar.New(settings)
		if err != nil {
			t.Fatalf("good settings were refused: %v", err)
		}
		const days = 9
		w := newWalk(settings, c.Zone(), day.AddDate(0, 0, -days/2), days*24*60)
		for range 20 {
			// Not within the first two days: what reaches in from before a walk begins is not in it.
			n := rapid.IntRange(2*24*60, len(w.open)-1).Draw(t, "minute")
			w.compare(t, c, n, rapid.IntRange(0, 59).Draw(t, "second"))
		}
	})
}

func (w *walk) compare(t *rapid.T, c *calendar.Calendar, n, second int) {
	moment := w.start.Add(time.Duration(n)*time.Minute + time.Duration(second)*time.Second)
	got := c.At(moment)
	if got.Open != w.open[n] || got.Open != (got.Blocker == "") {
		t.Fatalf("at %s (%s there): open is %t (blocker %q), want %t", moment, moment.In(c.Zone()), got.Open, got.Blocker, w.open[n])
	}
	for k := n + 1; k < len(w.open); k++ {
		if w.open[k] != w.open[n] {
			if want := w.start.Add(time.Duration(k) * time.Minute); !got.Until.Equal(want) {
				t.Fatalf("at %s: until %s, want %s", moment, got.Until, want)
			}
			return
		}
	}
	if end := w.start.Add(time.Duration(len(w.open)) * time.Minute); !got.Until.IsZero() && got.Until.Before(end) {
		t.Fatalf("at %s: until %s, want nothing before %s", moment, got.Until, end)
	}
}

func drawWindows(t *rapid.T) (out []*fleetv1.Window) {
	for range rapid.IntRange(0, 3).Draw(t, "windows") {
		days := rapid.SliceOfNDistinct(rapid.Uint32Range(1, 7), 0, 7, rapid.ID[uint32]).Draw(t, "days")
		out = append(out, &fleetv1.Window{Days: days, Start: drawTime(t), End: drawTime(t)})
	}
	return out
}

// drawTime favours the hours in which clocks are changed.
func drawTime(t *rapid.T) string {
	hour := rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, 23)).Draw(t, "hour")
	return fmt.Sprintf("%02d:%02d", hour, rapid.SampledFrom([]int{0, 15, 30, 59}).Draw(t, "minute"))
}

func drawBlackouts(t *rapid.T, day time.Time) (out []*fleetv1.Blackout) {
	for range rapid.IntRange(0, 2).Draw(t, "blackouts") {
		from := onDay(day.AddDate(0, 0, rapid.IntRange(-1, 1).Draw(t, "day")), drawTime(t))
		to := from.Add(time.Duration(rapid.IntRange(1, 2000).Draw(t, "minutes")) * time.Minute)
		out = append(out, &fleetv1.Blackout{Start: from.Format(calendar.DateTime), End: to.Format(calendar.DateTime)})
	}
	return out
}
