package jobs

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/calendar"
)

// Synthetic time begins on 2000-01-01 00:00 UTC, a Saturday.

// nights is a site whose window is from 22:00 to 04:00 by its clock.
func nights(zone string) *fleetv1.SiteSettings {
	return &fleetv1.SiteSettings{TimeZone: zone, Windows: []*fleetv1.Window{{Start: "22:00", End: "04:00"}}}
}

func sleepUntil(t *testing.T, clock string) {
	t.Helper()
	at, err := time.Parse(time.RFC3339, clock)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(at))
	synctest.Wait()
}

func days(n int) func(*fleetv1.CreateJobRequest) {
	return func(q *fleetv1.CreateJobRequest) {
		q.Spec.ExpiresIn = durationpb.New(time.Duration(n) * 24 * time.Hour)
	}
}

func TestAWindowKeepsAJobThatChangesSomething(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.fleet.set("lyon", nights("Europe/Paris"))
		sleepUntil(t, "2000-01-01T12:00:00Z")
		r.connectAll()
		job := r.create(days(2))
		expect(t, "running at noon", r.running(job), "1")
		w := r.expectWait(0, job, fleetv1.WaitReason_WAIT_REASON_WINDOW, "site lyon is closed: maintenance windows, until 2000-01-01T21:00:00Z")
		expect(t, "next look", w.GetNextLook().AsTime().Format(time.RFC3339), "2000-01-01T21:00:00Z")
		sleepUntil(t, "2000-01-01T20:59:59Z")
		expect(t, "running a second before 22:00 in Lyon", r.running(job), "1")
		sleepUntil(t, "2000-01-01T21:00:00Z")
		expect(t, "running at 22:00 in Lyon", r.running(job), "0 1")
	}, "lyon", "paris")
}

// What only reads or tries may run at any time, and so may what breaks the glass, which is audited on its own.
func TestWhatWindowsDoNotBind(t *testing.T) {
	for name, change := range map[string]func(*rig, *fleetv1.CreateJobRequest){
		"a dry run":            func(_ *rig, q *fleetv1.CreateJobRequest) { q.Spec.DryRun = true },
		"an action that reads": func(r *rig, _ *fleetv1.CreateJobRequest) { r.fleet.actions["aa"].ReadOnly = true },
		"break glass":          func(_ *rig, q *fleetv1.CreateJobRequest) { q.Spec.BreakGlass = "INC-1: nobody can sign in" },
	} {
		bubble(t, func(t *testing.T, r *rig) {
			r.fleet.set("lyon", nights("UTC"))
			sleepUntil(t, "2000-01-01T12:00:00Z")
			r.connect(0)
			job := r.create(func(q *fleetv1.CreateJobRequest) { change(r, q) })
			if r.running(job) != "0" {
				t.Errorf("%s: waits for %v", name, r.task(0, job).GetWait())
			}
			broken := 0
			if job.GetBreakGlass() != "" {
				broken = 1
				expect(t, "reason in the record of the creation", r.change("job.create", "break_glass"), "INC-1: nobody can sign in")
			}
			expect(t, "records of a broken glass", r.audited("job.break-glass"), broken)
		}, "lyon")
	}
}

// A window that closes takes back what was permitted there, and nothing elsewhere.
func TestAWindowThatClosesReachesWhatWasSent(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.fleet.set("lyon", nights("UTC"))
		sleepUntil(t, "2000-01-01T23:00:00Z")
		r.connectAll()
		job := r.create(days(2))
		expect(t, "running at night", r.running(job), "0 1")
		r.ask(0, job, agentv1.HoldReason_HOLD_REASON_IN_USE, "ada is active")
		r.wire.take("T-0000")
		r.wire.take("T-0001")
		sleepUntil(t, "2000-01-02T04:00:00Z")
		expectSent(t, r.wire.take("T-0000"), "hold")
		expectSent(t, r.wire.take("T-0001"))
		r.ask(0, job, agentv1.HoldReason_HOLD_REASON_HELD, "")
		r.expectWait(0, job, fleetv1.WaitReason_WAIT_REASON_WINDOW, "site lyon is closed")
		sleepUntil(t, "2000-01-02T22:00:00Z")
		expectSent(t, r.wire.take("T-0000"), "dispatch for 30s")
	}, "lyon", "paris")
}

// The clock of the site is set forth in the night of its window: it opens an hour earlier by UTC.
func TestAWindowGoesByTheSitesClock(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.fleet.set("lyon", nights("Europe/Paris"))
		sleepUntil(t, "2000-03-26T12:00:00Z")
		r.connect(0)
		job := r.create(days(2))
		sleepUntil(t, "2000-03-26T19:59:59Z")
		expect(t, "running before 22:00 in summer time", r.running(job), "")
		sleepUntil(t, "2000-03-26T20:00:00Z")
		expect(t, "running at 22:00 in summer time", r.running(job), "0")
	}, "lyon")
}

func TestSettingsThatChangeCountAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		sleepUntil(t, "2000-01-01T12:00:00Z")
		job := r.create(days(2))
		set := func(s *fleetv1.SiteSettings) {
			r.fleet.set("lyon", s)
			if err := r.engine.SiteChanged(t.Context(), "lyon"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		set(nights("UTC"))
		r.connect(0)
		r.expectWait(0, job, fleetv1.WaitReason_WAIT_REASON_WINDOW, "maintenance windows")
		set(&fleetv1.SiteSettings{Blackouts: []*fleetv1.Blackout{{Start: "2000-01-01T00:00", End: "2000-01-02T00:00", Reason: "stock-taking"}}})
		r.expectWait(0, job, fleetv1.WaitReason_WAIT_REASON_WINDOW, `blackout "stock-taking", until 2000-01-02T00:00:00Z`)
		set(nil)
		expect(t, "running when nothing keeps it", r.running(job), "0")
		set(&fleetv1.SiteSettings{TimeZone: "nowhere"})
		expectSent(t, r.wire.take("T-0000"), "dispatch for 30s", "hold")
		r.ask(0, job, agentv1.HoldReason_HOLD_REASON_HELD, "")
		r.expectWait(0, job, fleetv1.WaitReason_WAIT_REASON_WINDOW, "settings that cannot be read")
		r.fleet.set("lyon", nil)
		time.Sleep(rereadAfter)
		synctest.Wait()
		expect(t, "running when they can be read again", r.running(job), "0")
	}, "lyon")
}

// The wall clock is set back, or forth, while the engine sleeps: what it says at the next event decides.
func TestASiteGoesByTheWallClockOfTheMoment(t *testing.T) {
	c, err := calendar.New(nights("UTC"))
	if err != nil {
		t.Fatal(err)
	}
	s := &site{name: "lyon", calendar: c}
	night := time.Date(2000, 1, 2, 23, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		at   time.Time
		open bool
	}{{night, true}, {night.Add(-12 * time.Hour), false}, {night.AddDate(1, 0, 0), true}, {night.AddDate(-1, 0, 0).Add(12 * time.Hour), false}} {
		expect(t, "open at "+step.at.String(), s.at(step.at).Open, step.open)
	}
}

func TestNotBefore(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		start := time.Now().Add(24 * time.Hour)
		job := r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.NotBefore = timestamppb.New(start) })
		expect(t, "expiry counts from", job.GetExpires().AsTime().Sub(start), time.Hour)
		w := r.expectWait(0, job, fleetv1.WaitReason_WAIT_REASON_NOT_BEFORE, "not before 2000-01-02T00:00:00Z")
		expect(t, "next look", w.GetNextLook().AsTime().Equal(start), true)
		expect(t, "audited", r.change("job.create", "not_before"), "2000-01-02T00:00:00Z")
		r.restart()
		r.connect(0)
		time.Sleep(24*time.Hour - time.Second)
		synctest.Wait()
		expectSent(t, r.wire.take("T-0000"))
		time.Sleep(time.Second)
		synctest.Wait()
		expectSent(t, r.wire.take("T-0000"), "dispatch for 30s")
	}, "lyon")
}

func TestPreviewSaysWhatWouldKeepIt(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.fleet.set("lyon", nights("UTC"))
		sleepUntil(t, "2000-01-01T12:00:00Z")
		r.connect(2)
		spec := &fleetv1.JobSpec{Action: "ble-restart", Selection: &fleetv1.Selection{}}
		seen := func() *fleetv1.PreviewJobResponse {
			answer, err := r.engine.Preview(t.Context(), admin(), spec)
			if err != nil {
				t.Fatal(err)
			}
			return answer
		}
		got := seen()
		for i, want := range []fleetv1.WaitReason{fleetv1.WaitReason_WAIT_REASON_WINDOW, fleetv1.WaitReason_WAIT_REASON_OFFLINE, 0} {
			expect(t, "wait of "+terminalID(i), got.GetTargets()[i].GetWait().GetReason(), want)
		}
		expect(t, "warnings", strings.Join(got.GetWarnings(), "; "),
			"2 of 3 terminals are offline: they are served when they connect before the job expires; "+
				"1 of 3 terminals is at a site that opens only after the job expires at 2000-01-01T13:00:00Z: give it more time, or lift the windows")
		spec.ExpiresIn = durationpb.New(24 * time.Hour)
		expect(t, "warning of a job that lasts until the site opens", seen().GetWarnings()[1],
			"1 of 3 terminals is at a site that is closed now: it is served when the site opens before the job expires")
		expect(t, "reach", len(got.GetProgress().GetReach()), 2)
		expect(t, "rollout", len(got.GetRollout().GetWaves()), 2)
		spec.NotBefore = timestamppb.New(time.Now().Add(time.Hour))
		expect(t, "wait when it is put off", seen().GetTargets()[2].GetWait().GetReason(), fleetv1.WaitReason_WAIT_REASON_NOT_BEFORE)
	}, "lyon", "paris", "paris")
}

// When a site opens nothing is taken back.
func TestAnOpeningTakesNothingBack(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		r.create(nil)
		expectSent(t, r.wire.take(terminalID(0)), "dispatch for 30s")
		for open, sent := range map[bool][]string{true: nil, false: {"hold"}} {
			if err := r.engine.do(t.Context(), func() {
				s := r.engine.site("lyon")
				s.open = open
				r.engine.siteTurned(s)
				s.open = true
			}); err != nil {
				t.Fatal(err)
			}
			expectSent(t, r.wire.take(terminalID(0)), sent...)
		}
	}, "lyon")
}
