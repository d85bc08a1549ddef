package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// A service stops at night: its start is asked for at once, in the policy's name, outside of any window.
func TestAStoppedServiceIsStartedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.site.Settings.Windows = []*fleetv1.Window{{Start: "12:00", End: "13:00"}}
	w.report("F-1", "nbe-missing", "T-1", nil)
	w.look()
	w.wantJobs("J1 ble-restart by policy/start-stopped-services")
	spec, remedy := w.specs["J1"], w.remedies["J1"]
	if spec.GetApprovals() != 0 || spec.GetBreakGlass() == "" || spec.GetParams()["mode"] != "ensure-running" {
		t.Errorf("job %v: want no approvals, windows lifted with a reason, and the catalogue's parameters", spec)
	}
	if remedy.Entry != "nbe-missing" || remedy.Policy != "start-stopped-services" || remedy.FaultID != "F-1" {
		t.Errorf("remedy %+v: want the agent to be told which fault it is for", remedy)
	}
	f := w.faults["F-1"]
	if f.GetState() != fleetv1.FaultState_FAULT_STATE_REMEDIATING || f.GetJobId() != "J1" || f.GetPolicy() != "start-stopped-services" {
		t.Errorf("fault %v: want it to name the job and the policy", f)
	}
	if h := f.GetHistory(); len(h) != 1 || h[0].GetActor() != "policy start-stopped-services" || h[0].GetJobId() != "J1" {
		t.Errorf("history %v: want one event of the policy with its job", h)
	}
	w.done("J1", true)
	w.look()
	w.wantJobs("J1 ble-restart by policy/start-stopped-services")
}

// Story 3: a service that dies again and again is started three times in an hour, then a person gets it with what was tried.
func TestAFlappingServiceGoesToAPerson(t *testing.T) {
	w := newWorld(t)
	w.report("F-1", "nbe-missing", "T-1", func(f *fleetv1.Fault) {
		f.Evidence = []*agentv1.Evidence{{Name: "problem code", Value: "43"}, {Name: "line", Value: "last words"}}
	})
	for n := 1; n <= 3; n++ {
		w.pass(0)
		if len(w.made) != n {
			t.Fatalf("%d jobs after %d failures, want one each: %q", len(w.made), n, w.made)
		}
		w.now = w.now.Add(time.Minute)
		w.done(fmt.Sprintf("J%d", n), true)
		w.look()
		w.now = w.now.Add(5 * time.Minute)
		w.back("F-1")
	}
	w.look()
	if len(w.made) != 3 {
		t.Fatalf("%d jobs, want 3: what does not help is not tried for ever", len(w.made))
	}
	if len(w.guided) != 1 || w.guided[0].Assignee != "site-desk" || w.guided[0].FaultID != "F-1" {
		t.Fatalf("guided tasks %+v, want one for the desk", w.guided)
	}
	if len(w.told) != 1 || w.told[0].GetEvent() != "fault.escalated" || w.told[0].GetObject() != "F-1" {
		t.Errorf("people are told %v, want once that the fault needs one of them", w.told)
	}
	told := strings.Join(w.guided[0].Evidence, "\n")
	for _, part := range []string{"problem code: 43", "last words", "attempt 1", "attempt 3", "J3"} {
		if !strings.Contains(told, part) {
			t.Errorf("evidence %q, want it to hold %q", told, part)
		}
	}
	if s := w.faults["F-1"].GetState(); s != fleetv1.FaultState_FAULT_STATE_GUIDED {
		t.Errorf("state %v, want GUIDED", s)
	}
	w.pass(time.Hour)
	if len(w.guided) != 1 || len(w.made) != 3 {
		t.Errorf("%d guided tasks and %d jobs an hour later, want no more", len(w.guided), len(w.made))
	}
}

// What the agent says of its breaker counts, whatever the server remembers.
func TestAnOpenBreakerGoesToAPerson(t *testing.T) {
	w := newWorld(t)
	w.breakers = []*fleetv1.Breaker{{TerminalId: "T-1", Entry: "nbe-missing", Action: "ble-restart", Open: true, Attempts: 3, Reason: "3 tries did not last"}}
	w.report("F-1", "nbe-missing", "T-1", nil)
	w.look()
	w.wantJobs()
	w.wantDecision("F-1", "3 tries did not last")
	if len(w.guided) != 1 {
		t.Fatalf("%d guided tasks, want one", len(w.guided))
	}
}

// A breaker that was closed (the adapter was swapped) lets the policy begin anew.
func TestAClosedBreakerForgetsAttempts(t *testing.T) {
	w := newWorld(t)
	w.report("F-1", "nbe-missing", "T-1", nil)
	for n := 1; n <= 3; n++ {
		w.pass(5 * time.Minute)
		w.done(fmt.Sprintf("J%d", n), true)
		w.back("F-1")
	}
	w.now = w.now.Add(5 * time.Minute)
	w.breakers = []*fleetv1.Breaker{{TerminalId: "T-1", Entry: "nbe-missing", Action: "ble-restart", Since: timestamppb.New(w.now)}}
	w.look()
	if len(w.made) != 4 {
		t.Errorf("%d jobs, want a fourth: the breaker was closed", len(w.made))
	}
}

func TestCooldownIsKept(t *testing.T) {
	w := newWorld(t)
	w.report("F-1", "nbe-missing", "T-1", nil)
	w.look()
	w.done("J1", true)
	w.back("F-1")
	w.pass(time.Minute)
	if len(w.made) != 1 {
		t.Fatalf("%q: want nothing within the cooldown of two minutes", w.made)
	}
	w.wantDecision("F-1", "cooling down")
	w.pass(time.Minute)
	if len(w.made) != 2 {
		t.Errorf("%q: want the second attempt when the cooldown is over", w.made)
	}
}

// Steps are tried in their order; one whose condition was not read to hold is left out; after the last a person gets it.
func TestStepsInOrder(t *testing.T) {
	w := newWorld(t)
	w.set(&fleetv1.Policy{Name: "radio", Order: 1, Mode: fleetv1.PolicyMode_POLICY_MODE_AUTO, Entries: []string{"band-error-3010"}, EscalateTo: "it-operations"})
	w.report("F-1", "band-error-3010", "T-1", nil)
	w.look()
	w.done("J1", false)
	w.pass(0)
	w.wantDecision("F-1", "it is watched whether the fault goes")
	w.wantJobs("J1 ble-restart by policy/radio")
	w.pass(2 * time.Minute)
	// The second step asks for an adapter with a problem, the third for a person's word.
	w.wantJobs("J1 ble-restart by policy/radio")
	if len(w.guided) != 1 || w.guided[0].Assignee != "it-operations" {
		t.Fatalf("guided tasks %+v, want one for whom the policy names", w.guided)
	}
}

func TestAStepWithAConditionAsksWhereItMust(t *testing.T) {
	w := newWorld(t)
	w.set(&fleetv1.Policy{Name: "radio", Order: 1, Mode: fleetv1.PolicyMode_POLICY_MODE_AUTO, Entries: []string{"band-error-3010"}})
	w.report("F-1", "band-error-3010", "T-1", func(f *fleetv1.Fault) { f.Evidence = []*agentv1.Evidence{{Name: "adapter", Value: "problem"}} })
	w.look()
	w.done("J1", false)
	w.pass(2 * time.Minute)
	w.wantJobs("J1 ble-restart by policy/radio", "J2 ble-adapter-cycle by policy/radio")
	if n := w.specs["J2"].GetApprovals(); n != 1 {
		t.Errorf("%d approvals, want 1: the catalogue asks for it whatever the policy says", n)
	}
}

// A line of a log says nothing of the adapter; that the agent sees a problem with it beside that is enough, and that it was seen before is not.
func TestAConditionGoesByTheStatesBeside(t *testing.T) {
	for name, state := range map[string]fleetv1.FaultState{
		"open": fleetv1.FaultState_FAULT_STATE_OPEN, "resolved": fleetv1.FaultState_FAULT_STATE_RESOLVED,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.set(&fleetv1.Policy{Name: "radio", Order: 1, Mode: fleetv1.PolicyMode_POLICY_MODE_AUTO, Entries: []string{"band-error-3010"}})
			w.report("F-1", "band-error-3010", "T-1", nil)
			w.look()
			w.done("J1", false)
			w.report("F-2", "ble-adapter-missing", "T-1", func(f *fleetv1.Fault) {
				f.State, f.Confidence = state, agentv1.Confidence_CONFIDENCE_STATE
				f.Evidence = []*agentv1.Evidence{{Name: "adapter", Value: "problem"}}
			})
			w.pass(2 * time.Minute)
			if got, want := slices.Contains(w.made, "J2 ble-adapter-cycle by policy/radio"), name == "open"; got != want {
				t.Errorf("made %q; that ble-adapter-cycle is among it is %t, want %t: the adapter's fault is %s", w.made, got, want, name)
			}
		})
	}
}

// An agent that was alone may be at the remedy when its server is back. A job for the same would only be refused.
func TestAReflexUnderWayIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.breakers = []*fleetv1.Breaker{{TerminalId: "T-1", Entry: "nbe-missing", Action: "ble-restart", Attempts: 1, Since: timestamppb.New(w.now.Add(-10 * time.Second))}}
	w.report("F-1", "nbe-missing", "T-1", nil)
	w.look()
	w.wantJobs()
	w.wantDecision("F-1", "its agent has tried ble-restart already")
	w.pass(2 * time.Minute)
	w.wantJobs("J1 ble-restart by policy/start-stopped-services")
}

func TestWhatInterruptsAsks(t *testing.T) {
	w := newWorld(t)
	w.report("F-1", "lock-usb-suspend", "T-1", nil)
	w.look()
	w.wantJobs("J1 usb-suspend-disable by policy/ask-for-the-rest")
	if s := w.specs["J1"]; s.GetApprovals() != 1 || s.GetBreakGlass() != "" {
		t.Errorf("job %v: want one approval, and windows that bind it", s)
	}
	w.wantDecision("F-1", "ask: job J1")
}

// What people decline is not asked for again: a person gets the fault.
func TestARejectedJobIsNotRepeated(t *testing.T) {
	w := newWorld(t)
	w.report("F-1", "lock-usb-suspend", "T-1", nil)
	w.look()
	w.jobs["J1"].Approval.Rejection = &fleetv1.Approval{By: "eve", Reason: "not today"}
	w.done("J1", false)
	w.pass(0)
	w.pass(time.Hour)
	w.wantJobs("J1 usb-suspend-disable by policy/ask-for-the-rest")
	w.wantDecision("F-1", "rejected by eve: not today")
}

func TestTheWindowIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.around.NesHosts = nesHosts()
	w.site.Settings.Windows = []*fleetv1.Window{{Start: "04:00", End: "05:00"}}
	w.report("F-1", "nba-nes-url-wrong", "T-1", nil)
	w.look()
	w.wantJobs()
	w.wantDecision("F-1", "site lyon is closed")
	w.pass(48 * time.Minute)
	w.wantJobs("J1 nes-url-set by policy/fix-settings-without-interruption")
	if url := w.specs["J1"].GetParams()["url"]; url != "https://nes.lyon.example/nes/" {
		t.Errorf("url %q, want the address of the NES host that the terminal uses", url)
	}
}

func TestAnOfflineTerminalIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.offline["T-1"] = true
	w.report("F-1", "nbe-missing", "T-1", nil)
	w.look()
	w.wantJobs()
	w.wantDecision("F-1", "offline")
	delete(w.offline, "T-1")
	w.pass(offlineLook)
	w.wantJobs("J1 ble-restart by policy/start-stopped-services")
}

func TestWhatIsUnsureStartsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*fleetv1.Fault)
		says   string
		guided int
	}{
		"guess":      {func(f *fleetv1.Fault) { f.Confidence = agentv1.Confidence_CONFIDENCE_GUESS }, "starts nothing", 0},
		"no word":    {func(f *fleetv1.Fault) { f.Confidence = agentv1.Confidence_CONFIDENCE_UNSPECIFIED }, "starts nothing", 0},
		"candidates": {func(f *fleetv1.Fault) { f.Candidates = []string{"band-error-3000"} }, "it may be nbe-missing or band-error-3000", 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.report("F-1", "nbe-missing", "T-1", c.change)
			w.pass(0)
			w.wantJobs()
			w.wantDecision("F-1", c.says)
			if len(w.guided) != c.guided {
				t.Errorf("%d guided tasks, want %d", len(w.guided), c.guided)
			}
		})
	}
}

func TestWhatIsForPeopleGoesToPeople(t *testing.T) {
	w := newWorld(t)
	w.report("F-1", "ble-adapter-missing", "T-1", nil)
	w.look()
	w.wantJobs()
	if len(w.guided) != 1 || w.guided[0].By != "policy guided-by-people" || w.guided[0].Assignee != "" {
		t.Fatalf("guided tasks %+v, want one of the policy for whom the entry names", w.guided)
	}
	// A person has closed it and the fault is still there: it is not made again and again.
	w.faults["F-1"].GuidedTask, w.faults["F-1"].State = "", fleetv1.FaultState_FAULT_STATE_OPEN
	w.due["F-1"] = w.now
	w.pass(0)
	if len(w.guided) != 1 {
		t.Errorf("%d guided tasks, want one until the fault comes anew", len(w.guided))
	}
}

func TestAMemberOfAnIncidentIsHeld(t *testing.T) {
	w := newWorld(t)
	w.report("F-1", "nymi-agent-missing", "T-1", func(f *fleetv1.Fault) { f.Incident = "I-1" })
	w.look()
	w.wantJobs()
	w.wantDecision("F-1", "incident I-1")
}

// A whole site with the same fault is no matter of single machines.
func TestTheSitesBreaker(t *testing.T) {
	w := newWorld(t)
	for n := range 5 {
		w.report(fmt.Sprintf("F-%d", n), "nbe-missing", fmt.Sprintf("T-%d", n), nil)
	}
	w.look()
	w.wantJobs()
	w.wantDecision("F-0", "5 of 10 terminals")
	w.terminals = 100
	w.pass(breakerLook)
	if len(w.made) != 5 {
		t.Errorf("%d jobs at a site of 100 terminals, want 5: 5 %% are not beyond 30 %%", len(w.made))
	}
}

func TestFrozenMeansNothing(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Freeze(t.Context(), admin(), &fleetv1.FreezeRequest{Site: "Lyon", Reason: "validation run"}); err != nil {
		t.Fatal(err)
	}
	w.report("F-1", "nbe-missing", "T-1", nil)
	w.look()
	w.wantJobs()
	w.wantDecision("F-1", "frozen at lyon by ada: validation run")
	if err := w.Unfreeze(t.Context(), admin(), &fleetv1.UnfreezeRequest{Site: "lyon", Reason: "over"}); err != nil {
		t.Fatal(err)
	}
	if err := w.lookAtAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wantJobs("J1 ble-restart by policy/start-stopped-services")
}

// What the server refuses for good is said, and ends with a person rather than in a circle.
func TestARefusedJobGoesToAPerson(t *testing.T) {
	w := newWorld(t)
	w.refuse = refusal.New(refusal.NotFound, "ACTION_NOT_FOUND", "action not found")
	w.report("F-1", "nbe-missing", "T-1", nil)
	w.look()
	w.wantJobs()
	if len(w.guided) != 1 {
		t.Errorf("%d guided tasks, want one: %s", len(w.guided), w.faults["F-1"].GetDecision())
	}
}

// The server is killed at every write of a decision, before and after it: there is one job, and the fault names it.
func TestKilledAnywhereThereIsOneJob(t *testing.T) {
	for point := range 6 {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, after %v", point, after), func(t *testing.T) {
				w := newWorld(t)
				w.report("F-1", "nbe-missing", "T-1", nil)
				w.store.left, w.store.after = point, after
				err := w.decide(t.Context(), "F-1")
				if err != nil && !errors.Is(err, errDead) {
					t.Fatal(err)
				}
				w.restart()
				w.due["F-1"] = w.now
				w.look()
				w.wantJobs("J1 ble-restart by policy/start-stopped-services")
				if got := w.faults["F-1"].GetJobId(); got != "J1" {
					t.Errorf("the fault names job %q, want J1", got)
				}
			})
		}
	}
}

// The decision cannot be written into the fault: the next start finds the job.
func TestKilledBeforeTheFaultIsTold(t *testing.T) {
	w := newWorld(t)
	w.report("F-1", "nbe-missing", "T-1", nil)
	w.failDecide = errDead
	if err := w.decide(t.Context(), "F-1"); !errors.Is(err, errDead) {
		t.Fatalf("error %v, want that of the desk", err)
	}
	w.failDecide = nil
	w.restart()
	w.look()
	w.wantJobs("J1 ble-restart by policy/start-stopped-services")
	if got := w.faults["F-1"].GetJobId(); got != "J1" {
		t.Errorf("the fault names job %q, want J1", got)
	}
}

// set writes a policy without any checks.
func (w *world) set(p *fleetv1.Policy) {
	w.t.Helper()
	if p.Guardrails == nil {
		p.Guardrails = &agentv1.Guardrails{MaxAttempts: 3, Period: durationpb.New(time.Hour)}
	}
	if _, err := w.Set(w.t.Context(), admin(), &fleetv1.SetPolicyRequest{Policy: p}); err != nil {
		w.t.Fatal(err)
	}
}
