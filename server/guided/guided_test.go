package guided_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/guided"
)

const (
	fixed     = fleetv1.GuidedOutcome_GUIDED_OUTCOME_FIXED
	notFixed  = fleetv1.GuidedOutcome_GUIDED_OUTCOME_NOT_FIXED
	notNeeded = fleetv1.GuidedOutcome_GUIDED_OUTCOME_NOT_NEEDED
)

func TestLockoutAsTheGuideSays(t *testing.T) {
	for failures, minutes := range map[uint32]int{0: 0, 4: 0, 5: 1, 6: 2, 7: 4, 8: 8, 9: 16, 10: 32, 11: 60, 12: 60, 1000: 60, 1<<32 - 1: 60} {
		if got, want := guided.Lockout(failures), time.Duration(minutes)*time.Minute; got != want {
			t.Errorf("after %d failures it lasts %s, want %s", failures, got, want)
		}
	}
	total := time.Duration(0)
	for n := uint32(5); n <= 10; n++ {
		total += guided.Lockout(n)
	}
	if total != 63*time.Minute {
		t.Errorf("before the first hour the waits are %s, want 63 minutes", total)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint32Range(5, 1<<20).Draw(t, "failures")
		one, next := guided.Lockout(n), guided.Lockout(n+1)
		if next != min(2*one, time.Hour) {
			t.Fatalf("after %d failures %s, after one more %s: it must double, up to an hour", n, one, next)
		}
	})
}

func TestATaskIsMadeOfItsEntryOnce(t *testing.T) {
	d := newDesk(t)
	first := d.mustCreate(guided.Order{Entry: "band-dead", Band: "AAAH-00125", By: "policy x", Reason: "says\x1b[31m \nno", Evidence: []string{"a\x07b"}})
	if first.GetId() != "G-1" || first.GetAssignee() != "site-desk" || first.GetCreatedBy() != "policy x" || first.GetSite() != "lyon" {
		t.Errorf("made %v, want G-1 of lyon for the site desk, by the policy", first)
	}
	if first.GetDue().AsTime() != d.now.Add(8*time.Hour) || first.GetSteps()[0].GetText() != "Put band AAAH-00125 on its charger." {
		t.Errorf("due %v, first step %q: want them as the entry says", first.GetDue().AsTime(), first.GetSteps()[0].GetText())
	}
	if strings.ContainsAny(first.GetReason()+first.GetEvidence()[0], "\x1b\n\x07") {
		t.Errorf("reason %q, evidence %q: what others wrote must not steer a screen", first.GetReason(), first.GetEvidence())
	}
	again := d.mustCreate(guided.Order{Entry: "band-dead", Band: "aaah-00125"})
	other := d.mustCreate(guided.Order{Entry: "band-dead", Band: "AAAH-00126"})
	if again.GetId() != "G-1" || other.GetId() != "G-2" {
		t.Errorf("the same band got %s, another %s; want G-1, which is open, and G-2", again.GetId(), other.GetId())
	}
	if ids, err := d.OfBand(t.Context(), "AAAH-00125"); err != nil || !slices.Equal(ids, []string{"G-1"}) {
		t.Errorf("open for the band: %v, %v; want G-1", ids, err)
	}
	if verbs := d.records(); !slices.Equal(verbs, []string{"guided.create", "guided.create"}) || len(d.notices) != 2 {
		t.Errorf("audit %v, %d notices; want one of each for each task that was made", verbs, len(d.notices))
	}
	d.sound()
}

func TestPeopleMakeTasksWhereTheyMayAct(t *testing.T) {
	d := newDesk(t)
	ask := func(r *fleetv1.CreateGuidedTaskRequest) error {
		_, err := d.CreateFor(t.Context(), ada, r)
		return err
	}
	wantRefusal(t, ask(&fleetv1.CreateGuidedTaskRequest{Entry: "band-dead"}), "NOTHING_NAMED")
	wantRefusal(t, ask(&fleetv1.CreateGuidedTaskRequest{Entry: "band-dead", Site: "lyon", Band: "X-1"}), "NOTHING_NAMED")
	wantRefusal(t, ask(&fleetv1.CreateGuidedTaskRequest{Entry: "no-such", Site: "lyon"}), "NO_ENTRY")
	wantRefusal(t, ask(&fleetv1.CreateGuidedTaskRequest{Entry: "machine-only", Site: "lyon"}), "NO_STEPS")
	wantRefusal(t, ask(&fleetv1.CreateGuidedTaskRequest{Entry: "band-dead", Site: "turin"}), "NOT_FOUND")
	wantRefusal(t, ask(&fleetv1.CreateGuidedTaskRequest{Entry: "band-dead", Site: "rome"}), "NOT_FOUND")
	wantRefusal(t, ask(&fleetv1.CreateGuidedTaskRequest{Entry: "band-dead", Site: "lyon", Note: "a\nb"}), "BAD_REASON")
	wantRefusal(t, ask(&fleetv1.CreateGuidedTaskRequest{Entry: "band-dead", Site: "lyon", Assignee: "Not A Name"}), "BAD_NAME")
	for _, n := range []string{"4", "-1", "x", "1001", ""} {
		wantRefusal(t, ask(&fleetv1.CreateGuidedTaskRequest{Entry: "band-lockout", Band: "X-1", Params: map[string]string{"failures": n}}), "BAD_FAILURES")
	}
	if len(d.records()) != 0 {
		t.Errorf("audit %v: what is refused changes nothing", d.records())
	}
	r := &fleetv1.CreateGuidedTaskRequest{Entry: "ble-adapter-missing", Terminal: "press-1", RequestId: "r-1"}
	one, err := d.CreateFor(t.Context(), ada, r)
	if err != nil || one.GetTerminalName() != "press-1" || one.GetCreatedBy() != "ada" {
		t.Fatalf("made %v, %v", one, err)
	}
	two, err := d.CreateFor(t.Context(), ada, r)
	if err != nil || two.GetId() != one.GetId() {
		t.Errorf("the same request made %v, %v; want the same task", two, err)
	}
}

func TestTimersAreWaitedFor(t *testing.T) {
	d := newDesk(t)
	id := d.mustCreate(guided.Order{Entry: "band-dead", Band: "AAAH-00125", By: "jane"}).GetId()
	tick := func(step uint32, undo bool) error {
		_, err := d.Tick(t.Context(), ada, &fleetv1.TickStepRequest{Id: id, Step: step, Undo: undo})
		return err
	}
	wantRefusal(t, tick(0, false), "NO_STEP")
	wantRefusal(t, tick(4, false), "NO_STEP")
	must(t, tick(1, false))
	must(t, tick(1, false)) // again is no error
	must(t, tick(2, false))
	if ends := d.mustGet(id).GetSteps()[1].GetTimerEnds().AsTime(); ends != d.now.Add(2*time.Hour) {
		t.Errorf("the timer ends at %s, want two hours from its start", ends)
	}
	d.now = d.now.Add(2*time.Hour - time.Second)
	d.open() // the server is started again meanwhile
	wantRefusal(t, tick(2, false), "TIMER_RUNS")
	_, err := d.Close(t.Context(), ada, &fleetv1.CloseGuidedTaskRequest{Id: id, Outcome: fixed})
	wantRefusal(t, err, "STEPS_OPEN")
	d.now = d.now.Add(time.Second)
	must(t, tick(2, false))
	if s := d.mustGet(id).GetSteps()[1]; s.GetDoneBy() != "ada" || s.GetDone() == nil {
		t.Errorf("the step is %v, want it done by ada when its time was over", s)
	}
	must(t, tick(2, true))
	_, err = d.Close(t.Context(), ada, &fleetv1.CloseGuidedTaskRequest{Id: id, Outcome: fixed})
	wantRefusal(t, err, "STEPS_OPEN")
	must(t, tick(2, false))
	done, err := d.Close(t.Context(), ada, &fleetv1.CloseGuidedTaskRequest{Id: id, Outcome: fixed})
	if err != nil || done.GetClosedBy() != "ada" || done.GetOutcome() != fixed {
		t.Errorf("closed as %v, %v; the optional step may be left out", done, err)
	}
	wantRefusal(t, tick(3, false), "CLOSED")
	d.sound()
}

func TestALockoutCountsDownFromItsReport(t *testing.T) {
	d := newDesk(t)
	task := d.mustCreate(guided.Order{Entry: "band-lockout", Band: "AAAH-00125", Params: map[string]string{"failures": "7"}})
	if len(task.GetSteps()) != 2 || task.GetSteps()[1].GetTimerEnds().AsTime() != d.now.Add(4*time.Minute) {
		t.Fatalf("steps %v, want one that ends four minutes from now", task.GetSteps())
	}
	if got := task.GetSteps()[0].GetText(); got != "Tell the user that it lasts 4m0s." {
		t.Errorf("first step %q", got)
	}
	_, err := d.Tick(t.Context(), ada, &fleetv1.TickStepRequest{Id: task.GetId(), Step: 2})
	wantRefusal(t, err, "TIMER_RUNS")
	_, err = d.Tick(t.Context(), ada, &fleetv1.TickStepRequest{Id: task.GetId(), Step: 2, Undo: true})
	wantRefusal(t, err, "TIMER_RUNS") // the band counts, and nobody can have it begin again
	d.now = d.now.Add(4 * time.Minute)
	_, err = d.Tick(t.Context(), ada, &fleetv1.TickStepRequest{Id: task.GetId(), Step: 2})
	must(t, err)
}

func TestTwoPeopleTakeATask(t *testing.T) {
	d := newDesk(t)
	id := d.mustCreate(guided.Order{Entry: "band-dead", Site: "lyon"}).GetId()
	errs := make(chan error)
	for _, p := range []string{"ada", "jane"} {
		go func() {
			_, err := d.Take(t.Context(), operator(p, "lyon"), &fleetv1.TakeGuidedTaskRequest{Id: id})
			errs <- err
		}()
	}
	one, two := <-errs, <-errs
	if (one == nil) == (two == nil) {
		t.Fatalf("they were told %v and %v: one of them has it, the other is refused", one, two)
	}
	if one == nil {
		one = two
	}
	wantRefusal(t, one, "TAKEN")
	has := d.mustGet(id)
	if _, err := d.Take(t.Context(), operator(has.GetAssignee(), "lyon"), &fleetv1.TakeGuidedTaskRequest{Id: id}); err != nil {
		t.Errorf("who has it takes it again: %v", err)
	}
	got, err := d.Take(t.Context(), operator("zoe", "lyon"), &fleetv1.TakeGuidedTaskRequest{Id: id, Force: true})
	if err != nil || got.GetAssignee() != "zoe" || got.GetEtag() == has.GetEtag() {
		t.Errorf("taken over: %v, %v; want it to be zoe's, under a new etag", got, err)
	}
}

func TestWhoMadeATaskDoesNotCloseIt(t *testing.T) {
	d := newDesk(t)
	id := d.mustCreate(guided.Order{Entry: "band-lost", Band: "AAAH-00077", By: "ada"}).GetId()
	shut := func(by, named string, o fleetv1.GuidedOutcome) error {
		p := ada
		if by == "jane" {
			p = jane
		}
		_, err := d.Close(t.Context(), p, &fleetv1.CloseGuidedTaskRequest{Id: id, Outcome: o, Named: named})
		return err
	}
	_, err := d.Tick(t.Context(), jane, &fleetv1.TickStepRequest{Id: id, Step: 1})
	must(t, err)
	wantRefusal(t, shut("ada", "root", fixed), "OTHER_PERSON")
	wantRefusal(t, shut("ada", "", notNeeded), "OTHER_PERSON")
	wantRefusal(t, shut("jane", " ", fixed), "NAME_MISSING")
	wantRefusal(t, shut("jane", "a\x1b[2Jb", fixed), "BAD_NAME")
	wantRefusal(t, shut("jane", "root", 0), "NO_OUTCOME")
	wantRefusal(t, shut("jane", "root", 17), "NO_OUTCOME")
	if len(d.told) != 0 || !strings.Contains(d.mustGet(id).GetState().String(), "OPEN") {
		t.Errorf("it is %v and the band was told %v: what is refused changes nothing", d.mustGet(id).GetState(), d.told)
	}
	must(t, shut("jane", "root", fixed))
	must(t, shut("jane", "root", fixed)) // again is no error
	wantRefusal(t, shut("jane", "root", notFixed), "CLOSED")
	wantRefusal(t, shut("ada", "root", fixed), "CLOSED")
	want := "AAAH-00077 by operator/jane: guided task G-1 (band-lost): fixed; root says that it was deactivated in NES"
	if len(d.told) != 1 || d.told[0] != want {
		t.Errorf("the band was told %q, want %q", d.told, want)
	}
	d.sound()
}

// A task that is due and not done goes to somebody else, again and again, more and more seldom; what was missed counts once.
func TestEscalationsSurviveTheServer(t *testing.T) {
	d := newDesk(t)
	id := d.mustCreate(guided.Order{Entry: "band-lost", Band: "AAAH-00077", By: "ada"}).GetId()
	_, err := d.Take(t.Context(), jane, &fleetv1.TakeGuidedTaskRequest{Id: id})
	must(t, err)
	d.later(30*time.Minute - time.Second)
	if n := d.mustGet(id).GetEscalations(); n != 0 {
		t.Errorf("escalated %d times before it was due", n)
	}
	d.later(time.Second)
	d.look()
	got := d.mustGet(id)
	if got.GetEscalations() != 1 || got.GetAssignee() != "it-operations" || got.GetDue().AsTime() != d.now.Add(30*time.Minute) {
		t.Errorf("escalated %d times to %s, due %s; want once, to it-operations, and again in 30 minutes", got.GetEscalations(), got.GetAssignee(), got.GetDue().AsTime())
	}
	d.open()
	d.later(7 * time.Hour) // the server was down
	if got := d.mustGet(id); got.GetEscalations() != 2 || got.GetDue().AsTime() != d.now.Add(time.Hour) {
		t.Errorf("escalated %d times, due %s; want twice, and again in an hour", got.GetEscalations(), got.GetDue().AsTime())
	}
	for range 20 {
		d.later(24 * time.Hour)
	}
	if got := d.mustGet(id); got.GetDue().AsTime().After(d.now.Add(24 * time.Hour)) {
		t.Errorf("due %s at %s: a day is the longest pause", got.GetDue().AsTime(), d.now)
	}
	escalated := 0
	for _, n := range d.notices {
		if n.GetEvent() == "guided.escalated" {
			escalated++
		}
	}
	if escalated != int(d.mustGet(id).GetEscalations()) {
		t.Errorf("%d notices for %d escalations", escalated, d.mustGet(id).GetEscalations())
	}
	_, err = d.Escalate(t.Context(), ada, &fleetv1.EscalateGuidedTaskRequest{Id: id, To: "Bad Name"})
	wantRefusal(t, err, "BAD_NAME")
	moved, err := d.Escalate(t.Context(), ada, &fleetv1.EscalateGuidedTaskRequest{Id: id, To: "zoe", Reason: "nobody answers"})
	if err != nil || moved.GetAssignee() != "zoe" {
		t.Errorf("handed on: %v, %v", moved, err)
	}
	must(t, closeAs(d, id, notNeeded))
	_, err = d.Escalate(t.Context(), ada, &fleetv1.EscalateGuidedTaskRequest{Id: id})
	wantRefusal(t, err, "CLOSED")
	d.sound()
}

func closeAs(d *desk, id string, o fleetv1.GuidedOutcome) error {
	_, err := d.Close(d.t.Context(), jane, &fleetv1.CloseGuidedTaskRequest{Id: id, Outcome: o})
	return err
}

func TestUrgentTasksComeFirst(t *testing.T) {
	d := newDesk(t)
	for n := range 5 {
		d.mustCreate(guided.Order{Entry: "band-error-2000", Band: fmt.Sprintf("A-%d", n)})
		d.mustCreate(guided.Order{Entry: "band-dead", Band: fmt.Sprintf("A-%d", n)})
	}
	d.mustCreate(guided.Order{Entry: "band-lost", Band: "A-9", By: "ada"})
	d.mustCreate(guided.Order{Entry: "band-dead", Site: "turin"})
	must(t, closeAs(d, "G-2", notNeeded))
	list := func(r *fleetv1.ListGuidedTasksRequest) (ids []string) {
		t.Helper()
		for {
			resp, err := d.List(t.Context(), ada, r)
			must(t, err)
			for _, task := range resp.GetTasks() {
				ids = append(ids, strings.TrimPrefix(task.GetId(), "G-"))
			}
			if r.PageToken = resp.GetNextPageToken(); r.PageToken == "" {
				return ids
			}
		}
	}
	for want, r := range map[string]*fleetv1.ListGuidedTasksRequest{
		"11 4 6 8 10 1 3 5 7 9":   {PageSize: 3},
		"11 4 6 8 10 1 3 5 7 9 2": {PageSize: 4, IncludeClosed: true},
		"11":                      {Assignee: "nes-administrator"},
		"4 3":                     {Band: "a-1"},
		"":                        {Site: "turin"},
	} {
		if got := strings.Join(list(r), " "); got != want {
			t.Errorf("%v lists %q, want %q", r, got, want)
		}
	}
	_, err := d.List(t.Context(), ada, &fleetv1.ListGuidedTasksRequest{PageToken: "x"})
	wantRefusal(t, err, "BAD_PAGE_TOKEN")
	_, err = d.Get(t.Context(), "G-99")
	wantRefusal(t, err, "NOT_FOUND")
	_, err = d.Get(t.Context(), "G-1\x00")
	wantRefusal(t, err, "NOT_FOUND")
	if resp, err := d.List(t.Context(), far, &fleetv1.ListGuidedTasksRequest{}); err != nil || len(resp.GetTasks()) != 1 {
		t.Errorf("who works at turin sees %v, %v; want the one task there", resp.GetTasks(), err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
