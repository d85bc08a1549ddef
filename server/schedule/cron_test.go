package schedule

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return moment
}

func TestTimesComeByTheZonesClock(t *testing.T) {
	for name, c := range map[string]struct{ cron, zone, from, want string }{
		"every night":                 {"30 2 * * *", "", "2026-11-24T02:30:00Z", "2026-11-25T02:30:00Z"},
		"just before":                 {"30 2 * * *", "", "2026-11-24T02:29:59Z", "2026-11-24T02:30:00Z"},
		"in a zone":                   {"30 2 * * *", "Europe/Paris", "2026-11-24T00:00:00Z", "2026-11-24T01:30:00Z"},
		"the clock jumps over it":     {"30 2 * * *", "Europe/Paris", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		"after the jump":              {"30 2 * * *", "Europe/Paris", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
		"it comes twice":              {"30 2 * * *", "Europe/Paris", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		"the second time is none":     {"30 2 * * *", "Europe/Paris", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		"from within the second hour": {"45 2 * * *", "Europe/Paris", "2026-10-25T01:40:00Z", "2026-10-26T01:45:00Z"},
		"half an hour's jump":         {"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-03T15:30:00Z"},
		"leap day":                    {"0 0 29 2 *", "", "2026-11-24T00:00:00Z", "2028-02-29T00:00:00Z"},
		"weekdays":                    {"0 6 * * 1-5", "", "2026-11-27T06:00:00Z", "2026-11-30T06:00:00Z"},
		"every ten minutes":           {"*/10 * * * *", "Europe/Paris", "2026-03-29T00:50:00Z", "2026-03-29T01:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			clock, err := newClock(c.cron, c.zone, at(t, c.from))
			if err != nil {
				t.Fatal(err)
			}
			got, ok := clock.after(at(t, c.from))
			if !ok || !got.Equal(at(t, c.want)) {
				t.Errorf("after %s it comes at %s, %v; want %s", c.from, got.UTC().Format(time.RFC3339), ok, c.want)
			}
		})
	}
}

func TestWhatIsNoCronExpressionIsRefused(t *testing.T) {
	for _, cron := range []string{"", "* * * *", "* * * * * *", "@daily", "61 * * * *", "0 0 30 2 *", "a b c d e", "0 0 ? * *", "* * * * *\n* * * * *"} {
		if _, err := newClock(cron, "", time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)); err == nil {
			t.Errorf("%q is taken, want it refused", cron)
		}
	}
	for _, zone := range []string{"Local", "Mars/Phobos", "../etc"} {
		if _, err := newClock("0 0 * * *", zone, time.Now()); err == nil {
			t.Errorf("zone %q is taken, want it refused", zone)
		}
	}
}

// Times only ever go forward, whatever the clock does, and a daily one comes once for each day that the zone has.
func TestADailyTimeComesOnceADay(t *testing.T) {
	zones := []string{"", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Tehran"}
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom(zones).Draw(t, "zone")
		hour, minute := rapid.IntRange(0, 23).Draw(t, "hour"), rapid.IntRange(0, 59).Draw(t, "minute")
		start := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 400*24*60).Draw(t, "start")) * time.Minute)
		c, err := newClock(time.Date(0, 1, 1, hour, minute, 0, 0, time.UTC).Format("4 15")+" * * *", zone, start)
		if err != nil {
			t.Fatal(err)
		}
		last, days := start, map[string]bool{}
		for range 14 {
			next, ok := c.after(last)
			if !ok || !next.After(last) || next.Sub(last) > 26*time.Hour {
				t.Fatalf("after %s comes %s, %v: want one within a day and two hours", last, next, ok)
			}
			day := next.In(c.zone).Format(time.DateOnly)
			if days[day] {
				t.Fatalf("two times on %s", day)
			}
			days[day], last = true, next
		}
	})
}
