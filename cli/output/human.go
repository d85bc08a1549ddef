package output

import (
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// Duration writes a duration for people: "420ms", "4.2s", "3m10s", "5h", "12d".
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Duration(-d)
	case d == 0:
		return "0s"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	case d < time.Minute && d%time.Second == 0:
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return twoUnits(int64(d/time.Second), 60, "m", "s")
	case d < 48*time.Hour:
		return twoUnits(int64(d/time.Minute), 60, "h", "m")
	default:
		return strconv.FormatInt(int64(d/(24*time.Hour)), 10) + "d"
	}
}

func twoUnits(n, per int64, large, small string) string {
	if n%per == 0 {
		return strconv.FormatInt(n/per, 10) + large
	}
	return fmt.Sprintf("%d%s%d%s", n/per, large, n%per, small)
}

// Ago writes how long before now a time was ("3m10s ago"), "" when it is unset, "in 5h" when it is still to come.
func Ago(t *timestamppb.Timestamp, now time.Time) string {
	if t == nil {
		return ""
	}
	d := now.Sub(t.AsTime())
	switch {
	case d > -time.Second && d < time.Second:
		return "now"
	case d < 0:
		return "in " + Duration((-d).Truncate(time.Second))
	default:
		return Duration(d.Truncate(time.Second)) + " ago"
	}
}

// UTC writes a time in RFC 3339 in UTC, to the second; "" when it is unset.
func UTC(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format(time.RFC3339)
}

// Count writes a number with its noun: "1 terminal", "3 terminals".
func Count[N int | uint32](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
