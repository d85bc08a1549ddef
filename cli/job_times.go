package cli

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The API's bounds of a job's times.
const (
	minExpiry    = time.Minute
	maxExpiry    = 30 * 24 * time.Hour
	maxNotBefore = 30 * 24 * time.Hour
)

// localLayout is a time as people write it at their desk, by the clock of this machine.
const localLayout = "2006-01-02 15:04"

// parseNotBefore reads --not-before. The result is nil when nothing is given.
func parseNotBefore(text string, now time.Time, problems *[]string) *timestamppb.Timestamp {
	if text == "" {
		return nil
	}
	t, err := parseMoment(text, time.Local)
	switch {
	case err != nil:
	case !t.After(now):
		err = fmt.Errorf("%s is over already", t.Format(time.RFC3339))
	case t.Sub(now) > maxNotBefore:
		err = fmt.Errorf("%s is more than 30 days ahead", t.Format(time.RFC3339))
	}
	if err != nil {
		*problems = append(*problems, "--not-before: "+err.Error())
		return nil
	}
	return timestamppb.New(t)
}

// parseExpiry reads --expires: a duration from the job's creation or from notBefore, or a moment, of which the time until then is
// made.
func parseExpiry(text string, now time.Time, notBefore *timestamppb.Timestamp, problems *[]string) *durationpb.Duration {
	if text == "" {
		return nil
	}
	from := now
	if notBefore != nil {
		from = notBefore.AsTime()
	}
	d, err := parseSpan(text)
	if moment, e := time.Parse(time.RFC3339, text); e == nil {
		d, err = moment.Sub(from), nil
	}
	switch {
	case err != nil:
		*problems = append(*problems, fmt.Sprintf("--expires %q: want a duration (2h, 14d) or a time as in 2026-12-01T22:00:00Z", text))
	case d < minExpiry || d > maxExpiry:
		*problems = append(*problems, fmt.Sprintf("--expires %s: want 1m to 30d after the job's creation or --not-before", text))
	}
	return durationpb.New(d)
}

// parseMoment reads a moment in RFC 3339, or by the clock of a machine in the zone.
func parseMoment(text string, zone *time.Location) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	t, err := time.ParseInLocation(localLayout, text, zone)
	switch {
	case err != nil:
		return t, fmt.Errorf("%q is no time; write 2026-12-01T22:00:00Z, or \"2026-12-01 22:00\" by the clock of this machine", text)
	case t.Format(localLayout) != text:
		return t, fmt.Errorf("%q does not exist here: the clocks are put forward; choose another time", text)
	case twice(t, text):
		return t, fmt.Errorf("%q comes twice here: the clocks are put back; write it with its offset, as in %s", text, t.Format(time.RFC3339))
	default:
		return t, nil
	}
}

// twice tells whether the clock of this machine shows text at another moment, too. Clocks are put back by half an hour or more.
func twice(t time.Time, text string) bool {
	for by := 30 * time.Minute; by <= 2*time.Hour; by += 30 * time.Minute {
		if t.Add(by).Format(localLayout) == text || t.Add(-by).Format(localLayout) == text {
			return true
		}
	}
	return false
}

// momentWord writes a moment by the clock of a machine in the zone and in UTC.
func momentWord(t *timestamppb.Timestamp, zone *time.Location) string {
	local := t.AsTime().In(zone)
	utc := local.UTC().Format(time.RFC3339)
	if _, offset := local.Zone(); offset == 0 {
		return utc
	}
	return local.Format(localLayout+" MST") + ", which is " + utc
}
