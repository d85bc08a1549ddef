package cli

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func TestSpansTakeDays(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "5m": 5 * time.Minute, "1h30m": 90 * time.Minute, "14d": 14 * 24 * time.Hour,
		"1d12h": 36 * time.Hour, "0": 0, "200ms": 200 * time.Millisecond,
	} {
		if got, err := parseSpan(text); err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v: people write durations in one way everywhere", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "-5s", "1d-5s", "-1d", "14", "14d2d", "99999999999d", "2 h", "1.5d", "+1d"} {
		if got, err := parseSpan(text); err == nil {
			t.Errorf("%q is taken for %v, want a refusal: a wait that nobody meant", text, got)
		}
	}
}

func TestMomentsAreReadByThisMachinesClock(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"2026-12-01 22:00":          "2026-12-01T21:00:00Z",
		"2026-07-01 22:00":          "2026-07-01T20:00:00Z",
		"2026-12-01T22:00:00Z":      "2026-12-01T22:00:00Z",
		"2026-12-01T22:00:00+01:00": "2026-12-01T21:00:00Z",
	} {
		got, err := parseMoment(text, paris)
		if err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q is %v, %v, want %s", text, got, err, want)
		}
	}
	for text, says := range map[string]string{
		// The clocks go from 02:00 to 03:00 on 29 March 2026, and from 03:00 to 02:00 on 25 October.
		"2026-03-29 02:30":    "does not exist here",
		"2026-10-25 02:30":    "comes twice here",
		"2026-12-01":          "is no time",
		"22:00":               "is no time",
		"2026-12-01 22:00:00": "is no time",
	} {
		if got, err := parseMoment(text, paris); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q is %v, %v, want a refusal that says that it %s", text, got, err, says)
		}
	}
	if got, want := momentWord(timestamppb.New(time.Date(2026, 12, 1, 21, 0, 0, 0, time.UTC)), paris), "2026-12-01 22:00 CET, which is 2026-12-01T21:00:00Z"; got != want {
		t.Errorf("the moment is written %q, want %q: a person must see which clock is meant", got, want)
	}
}

func TestAnAbsoluteExpiryIsKeptWhileAPersonLooks(t *testing.T) {
	created := func(now time.Time) (time.Time, error) {
		o := &fixOptions{workOptions: workOptions{expires: "2026-11-24T10:00:00Z"}}
		var problems []string
		spec := specExpiring(o.expires, testNow, &problems)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		err := o.renew(spec, now)
		return now.Add(spec.GetExpiresIn().AsDuration()), err
	}
	if at, err := created(testNow.Add(20 * time.Minute)); err != nil || at.Format(time.RFC3339) != "2026-11-24T10:00:00Z" {
		t.Errorf("after 20 minutes of looking the job expires at %v (%v), want the time that was asked for", at, err)
	}
	if _, err := created(testNow.Add(2 * time.Hour)); err == nil {
		t.Error("a job is created whose time ran out while the person looked")
	}
}

func specExpiring(text string, now time.Time, problems *[]string) *fleetv1.JobSpec {
	return &fleetv1.JobSpec{ExpiresIn: parseExpiry(text, now, nil, problems)}
}
