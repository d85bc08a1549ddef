package faults_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	open     = fleetv1.FaultState_FAULT_STATE_OPEN
	resolved = fleetv1.FaultState_FAULT_STATE_RESOLVED
)

func TestALifeOfAFault(t *testing.T) {
	f := newFixture(t)
	f.tell("T-0001", f.saw("nbe-missing", ""))
	got := f.fault("F-1")
	if got.GetState() != open || got.GetTerminalName() != "press-T-0001" || got.GetSite() != "lyon" || got.GetTitle() == "" || got.GetCount() != 1 {
		t.Errorf("a new fault: %v; want it open, with its terminal, site and title", got)
	}
	if due := f.due(); !slices.Equal(due, []string{"F-1"}) {
		t.Errorf("due: %v; want the new fault", due)
	}
	f.wait(time.Minute)
	f.tell("T-0001", f.saw("nbe-missing", ""))
	if got := f.fault("F-1"); got.GetCount() != 2 || got.GetLastSeen().AsTime() != f.now().UTC() {
		t.Errorf("seen again: count %d, last %v; want 2, now", got.GetCount(), got.GetLastSeen().AsTime())
	}
	f.tell("T-0001", gone("nbe-missing", ""))
	if got := f.fault("F-1"); got.GetState() != resolved || got.GetResolvedBy() != "by itself" || got.GetResolved() == nil {
		t.Errorf("gone: %v by %q; want it resolved by itself", got.GetState(), got.GetResolvedBy())
	}
	f.wait(23 * time.Hour)
	f.tell("T-0001", f.saw("nbe-missing", ""))
	if got := f.fault("F-1"); got.GetState() != open || got.GetReopened() != 1 || got.GetResolved() != nil {
		t.Errorf("back within a day: %v, reopened %d; want the same fault, open, reopened once", got.GetState(), got.GetReopened())
	}
	f.tell("T-0001", gone("nbe-missing", ""))
	f.wait(25 * time.Hour)
	f.tell("T-0001", f.saw("nbe-missing", ""))
	if got := f.fault("F-2"); got.GetState() != open || got.GetReopened() != 0 {
		t.Errorf("back after more than a day: %v; want another fault", got)
	}
	want := map[string]int{"fault.opened": 2, "fault.resolved": 2, "fault.reopened": 1}
	if told := f.told.events(); told["fault.opened"] != 2 || told["fault.resolved"] != 2 || told["fault.reopened"] != 1 {
		t.Errorf("people were told %v, want %v", told, want)
	}
	f.sound()
}

// Whatever is sent again, in whatever pieces and over a restart, is stored once.
func TestNewsIsStoredOnce(t *testing.T) {
	f := newFixture(t)
	news := []*agentv1.News{f.saw("nbe-missing", ""), gone("nbe-missing", ""), f.saw("nbe-missing", ""), f.saw("ble-adapter-missing", ""), gone("nbe-missing", "")}
	f.tell("T-0001", news...)
	before := f.fault("F-1")
	again := desk(t, f.store, f.now())
	for from := range news {
		upTo, err := again.Report(t.Context(), session("T-0001"), news[from:])
		if err != nil || upTo != 5 {
			t.Fatalf("the same news from %d on: up to %d, %v; want 5", from, upTo, err)
		}
	}
	if got := again.fault("F-1"); got.GetEtag() != before.GetEtag() || got.GetReopened() != 1 || len(got.GetHistory()) != len(before.GetHistory()) {
		t.Errorf("the fault was changed by what was stored already: %v", got)
	}
	if upTo, err := again.Report(t.Context(), session("T-0001"), nil); err != nil || upTo != 5 {
		t.Errorf("without news: up to %d, %v; want 5, so that an agent may forget what it has sent", upTo, err)
	}
	// Another journal counts from 1 again.
	f.newJournal("T-0001", "another")
	if upTo, err := again.Report(t.Context(), session("T-0001"), []*agentv1.News{{Sequence: 1, News: f.saw("nbe-missing", "").GetNews()}}); err != nil || upTo != 1 {
		t.Errorf("news of a new journal: up to %d, %v; want 1", upTo, err)
	}
	late := session("T-0001")
	late.JournalId = "journal-T-0001"
	if _, err := again.Report(t.Context(), late, []*agentv1.News{{Sequence: 9, News: f.saw("nbe-missing", "").GetNews()}}); err == nil {
		t.Error("a session of the journal before was let move the mark of the new one")
	}
	if got := again.fault("F-1"); got.GetReopened() != 2 {
		t.Errorf("news of a new journal was passed over")
	}
	f.sound()
}

func TestWhatMakesNoSenseIsLeftOut(t *testing.T) {
	f := newFixture(t)
	f.machine("T-0009", "nes-lyon-1", "lyon", fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST, fleetv1.TerminalState_TERMINAL_STATE_ACTIVE)
	future := timestamppb.New(f.now().Add(time.Hour))
	bad := []*agentv1.News{
		f.saw("no-such-entry", ""), f.saw("console-iis-stopped", ""), f.saw("nbe-missing", "a\nb"), f.saw("nbe-missing", strings.Repeat("x", 600)),
		asNews(&agentv1.FaultReport{Entry: "nbe-missing", FirstSeen: future}), asNews(&agentv1.FaultReport{Entry: "nbe-missing", LastSeen: &timestamppb.Timestamp{Nanos: -1}}),
		asNews(&agentv1.FaultReport{Entry: "nbe-missing", Evidence: []*agentv1.Evidence{{Name: "line", Value: "a\x1b[31mb"}}}),
		asNews(&agentv1.FaultReport{Entry: "nbe-missing", Evidence: []*agentv1.Evidence{{Name: "line", Value: strings.Repeat("x", 2000)}}}),
		asNews(&agentv1.FaultReport{Entry: "nbe-missing", Evidence: make([]*agentv1.Evidence, 17)}),
		asNews(&agentv1.FaultReport{Entry: "nbe-missing", Candidates: []string{"<script>"}}),
		asNews(&agentv1.FaultReport{Entry: "log-nba-save"}),
		{}, {News: &agentv1.News_Fault{}},
		{News: &agentv1.News_Reflex{Reflex: &agentv1.ReflexRun{Entry: "nbe-missing", Policy: "p\n", Action: "ble-restart"}}},
		{News: &agentv1.News_Breaker{Breaker: &agentv1.BreakerState{Entry: "nbe-missing", Action: ""}}},
	}
	f.tell("T-0001", bad...)
	if n := f.Refused(); n != uint64(len(bad)) {
		t.Errorf("%d pieces of news were counted as left out, want %d", n, len(bad))
	}
	if _, err := f.Get(t.Context(), "F-1"); err == nil {
		t.Error("a fault was made of what makes no sense")
	}
	f.tell("T-0001", f.saw("nbe-missing", ""))
	if got := f.fault("F-1"); got.GetTerminalId() != "T-0001" {
		t.Errorf("what came after it: %v; want a fault", got)
	}
	f.sound()
}

func TestNewsOfNobodyIsRefused(t *testing.T) {
	f := newFixture(t)
	f.machine("T-0004", "old", "lyon", fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL, fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED)
	for _, id := range []string{"T-0004", "T-0999"} {
		_, err := f.Report(t.Context(), session(id), []*agentv1.News{{Sequence: 1, News: f.saw("nbe-missing", "").GetNews()}})
		if no, ok := errors.AsType[*refusal.Error](err); !ok || no.Kind != refusal.NotFound {
			t.Errorf("terminal %s: %v; want NOT_FOUND", id, err)
		}
	}
}

// Each way to end a fault is told as what it was.
func TestWhatFixedIt(t *testing.T) {
	ok := &actionv1.TaskResult{Status: actionv1.TaskStatus_TASK_STATUS_SUCCEEDED}
	failed := &actionv1.TaskResult{Status: actionv1.TaskStatus_TASK_STATUS_FAILED}
	job := &fleetv1.Job{Id: jobID, FaultId: "F-1", Action: "ble-restart"}
	remediating := func(f *fixture) {
		f.change("F-1", func(x *fleetv1.Fault) {
			x.State, x.JobId = fleetv1.FaultState_FAULT_STATE_REMEDIATING, jobID
			x.History = append(x.History, &fleetv1.FaultEvent{Actor: "policy start-stopped-services", Text: "job asked for"})
		})
	}
	reflex := func(r *actionv1.TaskResult) *agentv1.News {
		return &agentv1.News{News: &agentv1.News_Reflex{Reflex: &agentv1.ReflexRun{
			Policy: "start-stopped-services", Entry: "nbe-missing", Action: "ble-restart", Attempt: 1, Result: r,
		}}}
	}
	for name, c := range map[string]struct {
		do   func(f *fixture)
		want string
	}{
		"nobody": {func(f *fixture) { f.tell("T-0001", gone("nbe-missing", "")) }, "by itself"},
		"a job that is done": {func(f *fixture) {
			remediating(f)
			f.task(jobID, "T-0001", ok)
			f.done(job)
			f.tell("T-0001", gone("nbe-missing", ""))
		}, "job " + jobID},
		"a job whose result came first": {func(f *fixture) {
			remediating(f)
			f.task(jobID, "T-0001", ok)
			f.tell("T-0001", gone("nbe-missing", ""))
			f.done(job)
		}, "job " + jobID},
		"a job whose result came last": {func(f *fixture) {
			remediating(f)
			f.tell("T-0001", gone("nbe-missing", ""))
			f.task(jobID, "T-0001", ok)
			f.done(job)
			f.done(job)
		}, "job " + jobID},
		"a job that did not help": {func(f *fixture) {
			remediating(f)
			f.task(jobID, "T-0001", failed)
			f.done(job)
			f.tell("T-0001", gone("nbe-missing", ""))
		}, "by itself"},
		"a reflex":                   {func(f *fixture) { f.tell("T-0001", reflex(ok), gone("nbe-missing", "")) }, "reflex start-stopped-services"},
		"a reflex, later":            {func(f *fixture) { f.tell("T-0001", gone("nbe-missing", ""), reflex(ok)) }, "reflex start-stopped-services"},
		"a reflex that did not help": {func(f *fixture) { f.tell("T-0001", reflex(failed), gone("nbe-missing", "")) }, "by itself"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.tell("T-0001", f.saw("nbe-missing", ""))
			c.do(f)
			got := f.fault("F-1")
			if got.GetState() != resolved || got.GetResolvedBy() != c.want {
				t.Errorf("%v by %q; want it resolved by %q", got.GetState(), got.GetResolvedBy(), c.want)
			}
			last := got.GetHistory()[len(got.GetHistory())-1]
			if told := strings.Contains(last.GetText(), "this is what resolved it"); told != (name == "a job whose result came last") {
				t.Errorf("the history ends with %q; want it to tell of the job if that was known only later, and once", last.GetText())
			}
			f.sound()
		})
	}
}

func TestAJobThatDidNotHelpIsDecidedOnAnew(t *testing.T) {
	f := newFixture(t)
	f.tell("T-0001", f.saw("nbe-missing", ""))
	f.decide("F-1", time.Time{}, func(x *fleetv1.Fault) { x.State, x.JobId = fleetv1.FaultState_FAULT_STATE_REMEDIATING, jobID })
	if due := f.due(); len(due) != 0 {
		t.Fatalf("due while its job runs: %v, want none", due)
	}
	f.task(jobID, "T-0001", &actionv1.TaskResult{Status: actionv1.TaskStatus_TASK_STATUS_FAILED})
	f.done(&fleetv1.Job{Id: jobID, FaultId: "F-1"})
	if got := f.fault("F-1"); got.GetState() != open || got.GetJobId() != "" || !slices.Equal(f.due(), []string{"F-1"}) {
		t.Errorf("after the job: %v, job %q, due %v; want it open, without a job, and due", got.GetState(), got.GetJobId(), f.due())
	}
	audited := f.audited()
	f.decide("F-1", f.now().Add(time.Minute), func(*fleetv1.Fault) {})
	if due := f.due(); len(due) != 0 {
		t.Errorf("due before its time: %v", due)
	}
	if now := f.audited(); !maps.Equal(now, audited) {
		t.Errorf("audited %v, before %v; want nothing more: only when it is due is another", now, audited)
	}
	f.wait(time.Minute)
	if due := f.due(); len(due) != 1 {
		t.Errorf("due at its time: %v; want it", due)
	}
	f.sound()
}

func TestBreakersAndReflexesAreKept(t *testing.T) {
	f := newFixture(t)
	f.tell("T-0001", f.saw("nbe-missing", ""), &agentv1.News{News: &agentv1.News_Breaker{Breaker: &agentv1.BreakerState{
		Entry: "nbe-missing", Action: "ble-restart", Open: true, Attempts: 3, Since: timestamppb.New(f.now()), Reason: "three attempts within an hour",
	}}})
	got, err := f.BreakersOf(t.Context(), f.fault("F-1"))
	if err != nil || len(got) != 1 || !got[0].GetOpen() || got[0].GetSite() != "lyon" || got[0].GetAttempts() != 3 {
		t.Fatalf("breakers of the fault: %v, %v; want the open one", got, err)
	}
	if b, err := f.AskReset(t.Context(), ada(), "T-0001", "nbe-missing", "", "ble-restart", "adapter swapped"); err != nil || b.GetResetBy() != "ada" {
		t.Errorf("a reset: %v, %v; want it asked for by ada", b, err)
	}
	again := &agentv1.BreakerState{Entry: "nbe-missing", Action: "ble-restart", Open: true, Attempts: 3, Since: timestamppb.New(f.now().Add(-700 * time.Millisecond))}
	f.tell("T-0001", &agentv1.News{News: &agentv1.News_Breaker{Breaker: again}})
	if got, err = f.TerminalBreakers(t.Context(), "T-0001"); err != nil || got[0].GetResetBy() != "ada" {
		t.Errorf("after the agent told of the same breaker again, by a clock that is a little off: %v, %v; want the reset still on its way", got, err)
	}
	f.tell("T-0001", &agentv1.News{News: &agentv1.News_Breaker{Breaker: &agentv1.BreakerState{Entry: "nbe-missing", Action: "ble-restart", Reason: "reset by ada"}}})
	got, err = f.TerminalBreakers(t.Context(), "T-0001")
	if err != nil || len(got) != 1 || got[0].GetOpen() || got[0].GetResetBy() != "" {
		t.Errorf("after the agent's answer: %v, %v; want it closed, and no reset on its way", got, err)
	}
	if n := f.told.events()["breaker.opened"]; n != 1 {
		t.Errorf("people were told %d times of the breaker, want once", n)
	}
	if _, err := f.AskReset(t.Context(), ada(), "T-0001", "nbe-missing", "", "other", ""); err == nil {
		t.Error("a breaker that is not there was reset")
	}
	f.sound()
}

// A terminal that is moved takes its open faults with it.
func TestAMovedTerminal(t *testing.T) {
	f := newFixture(t)
	f.tell("T-0001", f.saw("nbe-missing", ""))
	f.terminal("T-0001", "turin")
	f.tell("T-0001", f.saw("nbe-missing", ""))
	if got := f.fault("F-1"); got.GetSite() != "turin" || got.GetState() != open {
		t.Errorf("after the move: %v at %q; want it open at turin", got.GetState(), got.GetSite())
	}
	f.sound()
}

func TestWhatStoodInALogIsNotDue(t *testing.T) {
	f := newFixture(t)
	f.tell("T-0001", asNews(&agentv1.FaultReport{Entry: "nbe-missing", Historical: true}))
	if due := f.due(); len(due) != 0 {
		t.Errorf("due: %v; want nothing done about what stood in a log before", due)
	}
	if all, err := f.Decidable(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("decided on when a policy changes: %v (%v); want nothing done about what stood in a log before", all, err)
	}
	f.tell("T-0001", f.saw("nbe-missing", ""))
	if due := f.due(); len(due) != 1 {
		t.Errorf("due: %v; want it decided on once it is seen", due)
	}
	if all, err := f.Decidable(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("decided on when a policy changes: %v (%v); want it, now that it is seen", all, err)
	}
	f.sound()
}

// TestAnAgentThatHasGoneMadFillsNoStore: it tells of ever new subjects.
func TestAnAgentThatHasGoneMadFillsNoStore(t *testing.T) {
	f := newFixture(t)
	f.tell("T-0001", f.saw("nbe-missing", ""))
	for part := range 50 {
		err := f.store.Update(t.Context(), func(w store.Writer) (err error) {
			for i := range 40 {
				err = errors.Join(err, w.Put(store.TableFaultKeys, store.FaultKey("T-0001", "nbe-missing", fmt.Sprint(part, i)), store.Number(1)))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	f.tell("T-0001", f.saw("nbe-missing", "one more"), &agentv1.News{News: &agentv1.News_Breaker{Breaker: &agentv1.BreakerState{
		Entry: "nbe-missing", Subject: "one more", Action: "ble-restart", Open: true, Since: timestamppb.New(f.now()),
	}}}, gone("nbe-missing", ""))
	if n := f.Refused(); n != 2 {
		t.Errorf("%d pieces of news were left out, want the further fault and its breaker", n)
	}
	if got := f.fault("F-1"); got.GetState() != resolved {
		t.Errorf("the fault that was known is %v, want it resolved: what is known goes on", got.GetState())
	}
	f.tell("T-0002", f.saw("nbe-missing", ""))
	if got := f.fault("F-2"); got.GetTerminalId() != "T-0002" {
		t.Errorf("another terminal's fault: %v, want it opened", got)
	}
}
