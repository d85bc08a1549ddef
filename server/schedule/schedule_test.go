package schedule

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
)

func (w *world) want(name string, lines ...string) {
	w.t.Helper()
	if got := w.history(name); !slices.Equal(got, lines) {
		w.t.Errorf("history of %q is\n  %s\nwant\n  %s", name, strings.Join(got, "\n  "), strings.Join(lines, "\n  "))
	}
}

func TestAJobIsCreatedOnceForEachTime(t *testing.T) {
	w := newWorld(t)
	made := w.create("sweep", func(r *fleetv1.CreateScheduleRequest) { r.Jitter = durationpb.New(time.Hour) })
	if want := at(t, "2026-11-24T03:00:00Z"); !made.GetNext().AsTime().Equal(want) {
		t.Errorf("it comes next at %s, want %s, which is half of its jitter after 02:30", made.GetNext().AsTime(), want)
	}
	w.until("2026-11-24T02:59:59Z")
	w.want("sweep")
	w.until("2026-11-24T03:00:00Z")
	w.until("2026-11-24T03:00:01Z")
	w.want("sweep", "2026-11-24 02:30:00 j-1")
	w.active["j-1"] = false
	w.until("2026-11-25T03:00:00Z")
	w.want("sweep", "2026-11-25 02:30:00 j-2", "2026-11-24 02:30:00 j-1")
	if want := []string{"sweep by ada", "sweep by ada"}; !slices.Equal(w.made, want) {
		t.Errorf("jobs are %q, want %q", w.made, want)
	}
}

// A server that is killed after the job was created and before that was noted creates no second one.
func TestAKilledServerCreatesNoSecondJob(t *testing.T) {
	w := newWorld(t)
	w.create("sweep", nil)
	w.now = at(t, "2026-11-24T02:30:00Z")
	rec, err := w.read(t.Context(), "sweep")
	if err != nil {
		t.Fatal(err)
	}
	run := &fleetv1.ScheduleRun{Time: rec.GetDue(), Acted: timestamppb.New(w.now)}
	if err := w.Scheduler.create(t.Context(), rec, run); err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.until("2026-11-24T02:31:00Z")
	w.want("sweep", "2026-11-24 02:30:00 j-1")
	if len(w.made) != 1 {
		t.Errorf("%d jobs were created, want 1", len(w.made))
	}
}

// The same for a job that has waited until another was done: it has no set time that would tell it from a second one.
func TestAKilledServerCreatesNoSecondJobThatHasWaited(t *testing.T) {
	w := newWorld(t)
	w.create("sweep", func(r *fleetv1.CreateScheduleRequest) { r.Overlap = fleetv1.OverlapRule_OVERLAP_RULE_AFTER })
	w.until("2026-11-24T02:30:00Z")
	w.until("2026-11-25T02:30:00Z")
	w.active["j-1"] = false
	w.now = at(t, "2026-11-25T09:00:00Z")
	rec, err := w.read(t.Context(), "sweep")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Scheduler.create(t.Context(), rec, &fleetv1.ScheduleRun{Time: timestamppb.New(w.now)}); err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.until("2026-11-25T09:05:00Z")
	if len(w.made) != 2 {
		t.Errorf("%d jobs were created, want 2: the first time's, and one that has waited", len(w.made))
	}
	if line := w.history("sweep")[0]; !strings.HasSuffix(line, " j-2") {
		t.Errorf("the last line of the history is %q, want job j-2", line)
	}
}

func TestRulesForWhatOverlaps(t *testing.T) {
	for name, c := range map[string]struct {
		rule fleetv1.OverlapRule
		want []string
	}{
		"skip":  {fleetv1.OverlapRule_OVERLAP_RULE_SKIP, []string{"2026-11-25 02:30:00 job j-1 of an earlier time is not done", "2026-11-24 02:30:00 j-1"}},
		"allow": {fleetv1.OverlapRule_OVERLAP_RULE_ALLOW, []string{"2026-11-25 02:30:00 j-2", "2026-11-24 02:30:00 j-1"}},
		"after": {fleetv1.OverlapRule_OVERLAP_RULE_AFTER, []string{
			"2026-11-25 09:00:00 j-2", "2026-11-25 02:30:00 it waits until job j-1 is done", "2026-11-24 02:30:00 j-1",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create("sweep", func(r *fleetv1.CreateScheduleRequest) { r.Overlap = c.rule })
			w.until("2026-11-24T02:30:00Z")
			w.until("2026-11-25T02:30:00Z")
			w.until("2026-11-25T08:00:00Z")
			w.active["j-1"] = false
			w.restart()
			w.until("2026-11-25T09:00:00Z")
			w.until("2026-11-25T09:01:00Z")
			w.want("sweep", c.want...)
		})
	}
}

func TestRulesForWhatWasMissed(t *testing.T) {
	for name, c := range map[string]struct {
		rule fleetv1.CatchUpRule
		want string
	}{
		"skip": {fleetv1.CatchUpRule_CATCH_UP_RULE_SKIP, "2026-11-24 02:30:00 it passed while the server was down"},
		"once": {fleetv1.CatchUpRule_CATCH_UP_RULE_ONCE, "2026-11-24 02:30:00 j-1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create("sweep", func(r *fleetv1.CreateScheduleRequest) { r.CatchUp = c.rule })
			w.restart()
			w.until("2026-11-27T10:00:00Z")
			w.want("sweep", c.want)
			w.until("2026-11-28T02:30:00Z")
			if got := w.history("sweep"); len(got) != 2 {
				t.Errorf("after the next time the history is %q, want two lines: what was missed counts once", got)
			}
		})
	}
}

func TestTheCatchUpRuleGoesByWhatTheActionDoes(t *testing.T) {
	w := newWorld(t)
	if got := w.create("reads", nil).GetCatchUp(); got != fleetv1.CatchUpRule_CATCH_UP_RULE_ONCE {
		t.Errorf("an action that only reads is caught up by %s, want once", got)
	}
	w.changes = true
	if got := w.create("changes", nil).GetCatchUp(); got != fleetv1.CatchUpRule_CATCH_UP_RULE_SKIP {
		t.Errorf("an action that changes something is caught up by %s, want skip", got)
	}
}

func TestWhatIsRefusedIsInTheHistory(t *testing.T) {
	w := newWorld(t)
	w.create("sweep", nil)
	w.refuse = refusal.New(refusal.NotFound, "NOTHING_MATCHES", "selection: no terminal matches")
	w.until("2026-11-24T02:30:00Z")
	w.refuse = nil
	w.revoked["ada"] = true
	w.until("2026-11-25T02:30:00Z")
	w.want("sweep", `2026-11-25 02:30:00 operator "ada": is revoked`, "2026-11-24 02:30:00 selection: no terminal matches")
}

// What is no refusal is tried again: the time is not lost.
func TestAFailureIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.create("sweep", nil)
	w.refuse = errors.New("the disk is full")
	w.now = at(t, "2026-11-24T02:30:00Z")
	if _, err := w.look(t.Context()); err == nil {
		t.Error("a failure is not told")
	}
	w.refuse = nil
	w.until("2026-11-24T02:31:00Z")
	w.want("sweep", "2026-11-24 02:30:00 j-1")
}

func TestNothingIsCreatedWhileASchedulePauses(t *testing.T) {
	w := newWorld(t)
	w.create("sweep", nil)
	pause := func(paused bool) *fleetv1.Schedule {
		s, err := w.Pause(t.Context(), person("bob"), &fleetv1.PauseScheduleRequest{Name: "sweep", Paused: paused})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := pause(true); s.GetNext() != nil || s.GetPausedBy() != "bob" {
		t.Errorf("a paused schedule is %v, want no next time and who paused it", s)
	}
	w.until("2026-11-25T02:30:00Z")
	w.want("sweep")
	w.now = at(t, "2026-11-25T12:00:00Z")
	if s := pause(false); !s.GetNext().AsTime().Equal(at(t, "2026-11-26T02:30:00Z")) {
		t.Errorf("after it was resumed it comes at %s, want the next time: what passed meanwhile is no time", s.GetNext().AsTime())
	}
}

func TestAPersonRunsASchedule(t *testing.T) {
	w := newWorld(t)
	w.create("sweep", nil)
	run := func() *fleetv1.ScheduleRun {
		r, err := w.RunNow(t.Context(), person("bob"), &fleetv1.RunScheduleRequest{Name: "sweep", RequestId: "r-1"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if first, again := run(), run(); first.GetJobId() != "j-1" || again.GetJobId() != "j-1" || first.GetBy() != "bob" {
		t.Errorf("it ran as %v and %v, want one job, by bob", first, again)
	}
	if want := []string{"sweep by bob"}; !slices.Equal(w.made, want) {
		t.Errorf("jobs are %q, want %q: whoever runs it answers for it", w.made, want)
	}
	s, err := w.Get(t.Context(), "sweep")
	if err != nil || !s.GetNext().AsTime().Equal(at(t, "2026-11-24T02:30:00Z")) {
		t.Errorf("after that it is %v, %v; want its next time unchanged", s, err)
	}
}

func TestADeletedScheduleLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.create("sweep", nil)
	w.until("2026-11-24T02:30:00Z")
	if err := w.Delete(t.Context(), person("ada"), &fleetv1.DeleteScheduleRequest{Name: "sweep"}); err != nil {
		t.Fatal(err)
	}
	w.until("2026-11-25T02:30:00Z")
	if len(w.made) != 1 {
		t.Errorf("%d jobs were created, want none after it was deleted", len(w.made)-1)
	}
	if found, err := Verify(t.Context(), w.store); err != nil || found != "0 schedules, 0 of their times" {
		t.Errorf("the store holds %q, %v; want nothing of it", found, err)
	}
}

func TestWhatIsNoScheduleIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*fleetv1.CreateScheduleRequest){
		"name":        func(r *fleetv1.CreateScheduleRequest) { r.Name = "../x" },
		"cron":        func(r *fleetv1.CreateScheduleRequest) { r.Cron = "@hourly" },
		"zone":        func(r *fleetv1.CreateScheduleRequest) { r.TimeZone = "Mars" },
		"jitter":      func(r *fleetv1.CreateScheduleRequest) { r.Jitter = durationpb.New(25 * time.Hour) },
		"overlap":     func(r *fleetv1.CreateScheduleRequest) { r.Overlap = 9 },
		"action":      func(r *fleetv1.CreateScheduleRequest) { r.Spec.Action = "no-such-action" },
		"not before":  func(r *fleetv1.CreateScheduleRequest) { r.Spec.NotBefore = timestamppb.Now() },
		"break glass": func(r *fleetv1.CreateScheduleRequest) { r.Spec.BreakGlass = "fire" },
		"from job": func(r *fleetv1.CreateScheduleRequest) {
			r.Spec.Selection = &fleetv1.Selection{FromJob: &fleetv1.FromJob{JobId: "j"}}
		},
		"reason": func(r *fleetv1.CreateScheduleRequest) { r.Reason = "a\nb" },
		"there":  func(r *fleetv1.CreateScheduleRequest) { r.Name = "there" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create("there", nil)
			r := &fleetv1.CreateScheduleRequest{Name: "sweep", Cron: "30 2 * * *", Spec: &fleetv1.JobSpec{Action: "cert-scan"}}
			spoil(r)
			var no *refusal.Error
			if _, err := w.Create(t.Context(), person("ada"), r); !errors.As(err, &no) {
				t.Errorf("error = %v, want a refusal", err)
			}
			if all, err := w.all(t.Context()); err != nil || len(all) != 1 {
				t.Errorf("there are %d schedules, %v; want nothing changed", len(all), err)
			}
		})
	}
}

func TestOnlyOwnSitesAreListed(t *testing.T) {
	w := newWorld(t)
	w.create("sweep", nil)
	stranger := person("eve")
	stranger.Operator.Bindings[0].Sites = []string{"turin"}
	for p, want := range map[*access.Principal]int{person("ada"): 1, stranger: 0} {
		answer, err := w.List(t.Context(), p, &fleetv1.ListSchedulesRequest{})
		if err != nil || len(answer.GetSchedules()) != want {
			t.Errorf("%s sees %d schedules, %v; want %d", p.Name.ID, len(answer.GetSchedules()), err, want)
		}
	}
}

func TestPagesOfSchedulesAndHistory(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "a-b", "b", "c"} {
		w.create(name, func(r *fleetv1.CreateScheduleRequest) { r.Overlap = fleetv1.OverlapRule_OVERLAP_RULE_ALLOW })
	}
	var names []string
	list := &fleetv1.ListSchedulesRequest{PageSize: 3}
	for {
		answer, err := w.List(t.Context(), person("ada"), list)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range answer.GetSchedules() {
			names = append(names, s.GetName())
		}
		if list.PageToken = answer.GetNextPageToken(); list.PageToken == "" {
			break
		}
	}
	if want := []string{"a", "a-b", "b", "c"}; !slices.Equal(names, want) {
		t.Errorf("the pages hold %q, want %q", names, want)
	}
	for _, day := range []string{"24", "25", "26"} {
		w.until("2026-11-" + day + "T02:30:00Z")
	}
	runs := &fleetv1.ListScheduleRunsRequest{Name: "a", PageSize: 2}
	first, err := w.Runs(t.Context(), runs)
	if err != nil || len(first.GetRuns()) != 2 || first.GetNextPageToken() == "" {
		t.Fatalf("the first page is %v, %v; want two runs and more", first, err)
	}
	runs.PageToken = first.GetNextPageToken()
	second, err := w.Runs(t.Context(), runs)
	if err != nil || len(second.GetRuns()) != 1 || second.GetNextPageToken() != "" {
		t.Errorf("the second page is %v, %v; want the last one", second, err)
	}
}

func TestTheServersOwnScheduleIsMadeOnce(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		if err := w.MakeDefaults(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.until("2026-11-24T03:00:00Z")
	if want := []string{"certificates by fleetd"}; !slices.Equal(w.made, want) {
		t.Errorf("jobs are %q, want %q", w.made, want)
	}
	if err := w.Delete(t.Context(), person("ada"), &fleetv1.DeleteScheduleRequest{Name: "certificates"}); err != nil {
		t.Fatal(err)
	}
	if err := w.MakeDefaults(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all, err := w.all(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("after it was deleted there are %d schedules, %v; want it to stay away", len(all), err)
	}
}
