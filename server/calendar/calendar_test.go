package calendar_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/calendar"
)

func window(start, end string, days ...uint32) *fleetv1.Window {
	return &fleetv1.Window{Days: days, Start: start, End: end}
}

func made(t *testing.T, zone string, windows []*fleetv1.Window, blackouts ...*fleetv1.Blackout) *calendar.Calendar {
	t.Helper()
	c, err := calendar.New(&fleetv1.SiteSettings{TimeZone: zone, Windows: windows, Blackouts: blackouts})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	m, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestChangesOfTheClock holds the cases that people ask about. Each line is a window, a moment, and how things stand.
func TestChangesOfTheClock(t *testing.T) {
	for _, c := range []struct {
		what, zone  string
		window      *fleetv1.Window
		at          string
		open        bool
		until, hint string
	}{
		{"an ordinary night", "Europe/Paris", window("22:00", "04:00", 1), "2026-06-01T19:59:30Z", false, "2026-06-01T20:00:00Z", "22:00 in summer is 20:00Z"},
		{"over midnight", "Europe/Paris", window("22:00", "04:00", 1), "2026-06-01T23:00:00Z", true, "2026-06-02T02:00:00Z", "Monday's window ends on Tuesday"},
		{"sunday into monday", "UTC", window("22:00", "04:00", 7), "2026-06-01T03:59:59Z", true, "2026-06-01T04:00:00Z", "the week wraps"},
		{"all day", "UTC", window("08:00", "08:00", 2), "2026-06-02T08:00:00Z", true, "2026-06-03T08:00:00Z", "24 hours"},
		{"start jumped over", "Europe/Paris", window("02:30", "03:30", 7), "2026-03-29T00:59:59Z", false, "2026-03-29T01:00:00Z", "opens at the jump"},
		{"its end stays", "Europe/Paris", window("02:30", "03:30", 7), "2026-03-29T01:00:00Z", true, "2026-03-29T01:30:00Z", "ends by the clock"},
		{"jumped over whole", "Europe/Paris", window("02:00", "02:30", 7), "2026-03-29T01:00:00Z", true, "2026-03-29T01:30:00Z", "as long as it is"},
		{"an hour twice, first", "Europe/Paris", window("02:00", "02:30", 7), "2026-10-25T00:10:00Z", true, "2026-10-25T00:30:00Z", "first time"},
		{"an hour twice, again", "Europe/Paris", window("02:00", "02:30", 7), "2026-10-25T00:30:00Z", false, "2026-10-25T01:00:00Z", "second time"},
		{"half an hour twice", "Australia/Lord_Howe", window("01:30", "02:00", 7), "2026-04-04T14:40:00Z", true, "2026-04-04T15:30:00Z", "01:30 to 02:00 comes twice in a row"},
		{"half an hour jumped", "Australia/Lord_Howe", window("02:00", "02:30", 7), "2026-10-03T15:30:00Z", true, "2026-10-03T16:00:00Z", "02:00 becomes 02:30"},
		{"southern midnight jump", "America/Santiago", window("00:00", "01:00", 7), "2026-09-06T04:00:00Z", true, "2026-09-06T05:00:00Z", "00:00 becomes 01:00"},
		{"a skipped date", "Pacific/Apia", window("23:00", "02:00", 5), "2011-12-30T10:00:00Z", true, "2011-12-30T12:00:00Z", "the 30th never was; the window's end is on the 31st"},
	} {
		got := made(t, c.zone, []*fleetv1.Window{c.window}).At(moment(t, c.at))
		if got.Open != c.open || !got.Until.Equal(moment(t, c.until)) {
			t.Errorf("%s: at %s open = %t until %s, want %t until %s: %s", c.what, c.at, got.Open, got.Until.Format(time.RFC3339), c.open, c.until, c.hint)
		}
	}
}

func TestNothingSetIsAlwaysOpen(t *testing.T) {
	for name, settings := range map[string]*fleetv1.SiteSettings{
		"nil": nil, "empty": {}, "a zone": {TimeZone: "Europe/Paris"},
		"windows that leave nothing out": {Windows: []*fleetv1.Window{window("00:00", "12:00"), window("12:00", "00:00")}},
	} {
		c, err := calendar.New(settings)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.At(moment(t, "2026-06-01T00:00:00Z")); !got.Open || !got.Until.IsZero() || got.Blocker != "" {
			t.Errorf("%s: %+v, want open for ever", name, got)
		}
	}
}

func TestBlackoutsBeatWindows(t *testing.T) {
	c := made(t, "Europe/Paris", []*fleetv1.Window{window("22:00", "04:00")},
		&fleetv1.Blackout{Start: "2026-12-24T00:00", End: "2026-12-27T23:00", Reason: "stock-taking"},
		&fleetv1.Blackout{Start: "2026-12-26T00:00", End: "2026-12-28T05:00"})
	for _, step := range []struct {
		at, until, blocker string
	}{
		{"2026-12-23T20:00:00Z", "2026-12-23T21:00:00Z", calendar.ClosedByWindows},
		{"2026-12-23T22:30:00Z", "2026-12-23T23:00:00Z", ""},
		{"2026-12-23T23:00:00Z", "2026-12-28T21:00:00Z", `blackout "stock-taking"`},
		{"2026-12-26T20:00:00Z", "2026-12-28T21:00:00Z", "blackout from 2026-12-26T00:00 to 2026-12-28T05:00"},
		{"2026-12-28T04:00:00Z", "2026-12-28T21:00:00Z", calendar.ClosedByWindows},
	} {
		got := c.At(moment(t, step.at))
		if got.Blocker != step.blocker || !got.Until.Equal(moment(t, step.until)) {
			t.Errorf("at %s: %q until %s, want %q until %s", step.at, got.Blocker, got.Until.Format(time.RFC3339), step.blocker, step.until)
		}
	}
}

// TestABlackoutHasNoHole: it begins in the hour that comes twice, and the clock goes back behind its start once more.
func TestABlackoutHasNoHole(t *testing.T) {
	c := made(t, "Europe/Paris", nil, &fleetv1.Blackout{Start: "2026-10-25T02:30", End: "2026-10-26T00:00"})
	got := c.At(moment(t, "2026-10-25T01:10:00Z"))
	if want := moment(t, "2026-10-25T23:00:00Z"); got.Open || !got.Until.Equal(want) {
		t.Errorf("02:10 for the second time: %+v, want closed until %s: it had begun 40 minutes before", got, want)
	}
}

// TestManyBlackouts: the search goes past all of them.
func TestManyBlackouts(t *testing.T) {
	var all []*fleetv1.Blackout
	day := moment(t, "2026-01-01T00:00:00Z")
	for n := range 200 {
		from := day.AddDate(0, 0, n)
		all = append(all, &fleetv1.Blackout{Start: from.Format(calendar.DateTime), End: from.Add(23 * time.Hour).Format(calendar.DateTime)})
	}
	got := made(t, "UTC", []*fleetv1.Window{window("10:00", "11:00")}, all...).At(day)
	if want := day.AddDate(0, 0, 200).Add(10 * time.Hour); !got.Until.Equal(want) {
		t.Errorf("until %s, want %s: the first window after 200 days of blackouts", got.Until, want)
	}
}

func TestBadSettings(t *testing.T) {
	for _, c := range []struct {
		settings *fleetv1.SiteSettings
		want     string
	}{
		{&fleetv1.SiteSettings{TimeZone: "Mars/Olympus"}, `time_zone: "Mars/Olympus" is no IANA time zone; give one such as Europe/Paris, or none for UTC`},
		{&fleetv1.SiteSettings{TimeZone: "Local"}, `time_zone: "Local" is no IANA time zone`},
		{&fleetv1.SiteSettings{TimeZone: "../../etc/passwd"}, "time_zone: "},
		{&fleetv1.SiteSettings{TimeZone: strings.Repeat("x", 65)}, "time_zone: "},
		{&fleetv1.SiteSettings{Windows: []*fleetv1.Window{window("9:30", "10:00")}}, `windows[0].start: "9:30" is no time of day`},
		{&fleetv1.SiteSettings{Windows: []*fleetv1.Window{window("09:30", "24:00")}}, `windows[0].end: "24:00" is no time of day`},
		{&fleetv1.SiteSettings{Windows: []*fleetv1.Window{window("09:30", "10:00", 1, 8)}}, "windows[0].days[1]: day 8 does not exist"},
		{&fleetv1.SiteSettings{Windows: []*fleetv1.Window{window("09:30", "10:00", 3, 3)}}, "windows[0].days[1]: day 3 is named twice"},
		{&fleetv1.SiteSettings{Blackouts: []*fleetv1.Blackout{{Start: "2026-12-24", End: "2026-12-27T06:00"}}}, `blackouts[0].start: "2026-12-24" is no date and time`},
		{&fleetv1.SiteSettings{Blackouts: []*fleetv1.Blackout{{Start: "2026-02-30T00:00", End: "2026-12-27T06:00"}}}, "blackouts[0].start: "},
		{&fleetv1.SiteSettings{Blackouts: []*fleetv1.Blackout{{Start: "2026-12-24T00:00", End: "2026-12-24T00:00"}}}, "blackouts[0].end: 2026-12-24T00:00 is not after the start"},
		{&fleetv1.SiteSettings{Blackouts: []*fleetv1.Blackout{{Start: "2026-12-24T00:00", End: "9026-12-24T00:00"}}}, "blackouts[0].end: the year 9026"},
	} {
		if _, err := calendar.New(c.settings); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v: error %v, want %q", c.settings, err, c.want)
		}
	}
}

func TestAllProblemsAreNamed(t *testing.T) {
	_, err := calendar.New(&fleetv1.SiteSettings{
		TimeZone: "x", Windows: []*fleetv1.Window{window("x", "y", 9)}, Blackouts: []*fleetv1.Blackout{{}},
	})
	var problems calendar.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("error %v, want Problems", err)
	}
	fields := make([]string, len(problems))
	for n, p := range problems {
		fields[n] = p.Field
	}
	want := "[time_zone windows[0].start windows[0].end windows[0].days[0] blackouts[0].start blackouts[0].end]"
	if got := fmt.Sprint(fields); got != want {
		t.Errorf("problems at %s, want %s: whoever sets a site must not find them one by one", got, want)
	}
}
