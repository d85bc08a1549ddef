package calendar

import (
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// Spans of time in minutes.
const (
	day         = 24 * 60
	minutesWeek = 7 * day
)

// firstDay is the place of 1970-01-01, a Thursday, in a week that begins on Monday.
const firstDay = 3

// span is a window on one day of the week, in minutes since Monday 00:00; it may go on into the next week.
type span struct{ start, length int }

// week is when the windows are open, by the face of the clock.
type week struct {
	// open holds the minutes of the week from Monday 00:00.
	open  [minutesWeek]bool
	spans []span
}

// newWeek joins the windows. It returns nil when they leave no minute out, or when there are none.
func newWeek(spans []span) *week {
	if len(spans) == 0 {
		return nil
	}
	w := &week{spans: spans}
	for _, s := range spans {
		for m := range s.length {
			w.open[(s.start+m)%minutesWeek] = true
		}
	}
	for _, open := range w.open {
		if !open {
			return w
		}
	}
	return nil
}

// minuteOf is the minute of the week that the clock shows.
func minuteOf(wall int64) int {
	minutes := wall/60 + firstDay*day
	if wall%60 < 0 {
		minutes--
	}
	return int(((minutes % minutesWeek) + minutesWeek) % minutesWeek)
}

func (w *week) openAt(now int64, p period) bool {
	return w.open[minuteOf(now+p.offset)] || (p.jump > 0 && now < p.start+w.lost(p))
}

// edge is the next second at which the windows may open or close: by the face of the clock, because the clock jumps, or
// because what was opened for a window that was jumped over ends.
func (w *week) edge(now int64, p period) int64 {
	next := min(p.end, now+w.untilChange(now+p.offset))
	if p.jump > 0 {
		if made := p.start + w.lost(p); made > now {
			next = min(next, made)
		}
	}
	return next
}

// untilChange is in how many seconds an even clock that shows wall comes to where the windows open or close.
func (w *week) untilChange(wall int64) int64 {
	from := minuteOf(wall)
	intoMinute := ((wall % 60) + 60) % 60
	for n := 1; n <= minutesWeek; n++ {
		if w.open[(from+n)%minutesWeek] != w.open[from] {
			return int64(n)*60 - intoMinute
		}
	}
	return minutesWeek * 60
}

// lost is the length in seconds of the longest window that the jump at the beginning of p took away altogether.
func (w *week) lost(p period) (longest int64) {
	gone := p.start + p.offset - p.jump
	for _, s := range w.spans {
		// How far after the last moment before the jump the window would have opened.
		ahead := int64((s.start-minuteOf(gone)+minutesWeek)%minutesWeek)*60 - ((gone%60)+60)%60
		if length := int64(s.length) * 60; ahead >= 0 && ahead+length <= p.jump {
			longest = max(longest, length)
		}
	}
	return longest
}

// readSpans checks windows and lays each out over its days.
func readSpans(windows []*fleetv1.Window, problems *Problems) (spans []span) {
	for n, w := range windows {
		start, okStart := problems.timeOfDay(w.GetStart(), "windows[%d].start", n)
		end, okEnd := problems.timeOfDay(w.GetEnd(), "windows[%d].end", n)
		days := problems.days(w.GetDays(), n)
		if !okStart || !okEnd {
			continue
		}
		length := end - start
		if length <= 0 {
			length += day
		}
		for _, d := range days {
			spans = append(spans, span{(int(d)-1)*day + start, length})
		}
	}
	return spans
}

// days returns the days on which a window opens.
func (p *Problems) days(days []uint32, n int) []uint32 {
	if len(days) == 0 {
		return []uint32{1, 2, 3, 4, 5, 6, 7}
	}
	seen := map[uint32]bool{}
	for k, d := range days {
		if d < 1 || d > 7 {
			p.add(at("windows[%d].days[%d]", n, k), "day %d does not exist; 1 is Monday, 7 is Sunday", d)
			return nil
		}
		if seen[d] {
			p.add(at("windows[%d].days[%d]", n, k), "day %d is named twice", d)
			return nil
		}
		seen[d] = true
	}
	return days
}

// timeOfDay reads "22:00" as minutes since midnight.
func (p *Problems) timeOfDay(text, path string, n int) (minutes int, ok bool) {
	const layout = "15:04"
	t, err := time.Parse(layout, text)
	// Parse would take "9:30", which elsewhere might be read as something else.
	if err != nil || t.Format(layout) != text {
		p.add(at(path, n), "%q is no time of day; give hours and minutes such as 22:00", clipped(text))
		return 0, false
	}
	return t.Hour()*60 + t.Minute(), true
}
