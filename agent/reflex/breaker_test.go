package reflex

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// flap has the service stop again and again for so long.
func (r *rig) flap(long time.Duration) {
	for until := time.Now().Add(long); time.Now().Before(until); time.Sleep(time.Minute) {
		if r.runs() {
			r.machine.Crash(service, 1)
		}
	}
}

// attempts is how many there were since the journal was made.
func (r *rig) attempts() (n int) {
	for _, told := range r.told() {
		if strings.HasPrefix(told, "reflex") {
			n++
		}
	}
	return n
}

// After three tries in an hour the breaker opens, over restarts of the agent too; after its period there are three more.
func TestTheBreakerOpensAfterThreeTries(t *testing.T) {
	in(t, usual, func(r *rig) {
		r.begin(0)
		for range 5 {
			r.flap(10 * time.Minute)
			r.end()
			r.begin(0)
		}
		if n := r.attempts(); n != 3 || r.count("open 3") != 1 || !r.breaker().GetOpen() {
			t.Fatalf("there were %d attempts and the server is told %q; want three, and once that the breaker is open", n, r.told())
		}
		r.flap(40 * time.Minute) // by now the period is over
		if n := r.attempts(); n <= 3 || r.count("closed 0") != 1 {
			t.Errorf("there were %d attempts and the server is told %q; want it closed after its period, and tried again", n, r.told())
		}
		r.flap(3 * time.Hour)
		if n := r.attempts(); n > 3*5 {
			t.Errorf("there were %d attempts in four and a half hours, want at most three in each period", n)
		}
	})
}

// A remedy that fails is tried as often as one whose fault comes back.
func TestARemedyThatFailsIsTriedThreeTimes(t *testing.T) {
	in(t, func(t *testing.T) *rig { return newRig(t, start{useless: true}) }, func(r *rig) {
		r.machine.Crash(service, 1)
		r.begin(0)
		r.flap(50 * time.Minute)
		if n := r.attempts(); n != 3 || !r.breaker().GetOpen() || !strings.Contains(r.breaker().GetReason(), "the last one failed") {
			t.Errorf("there were %d attempts and the breaker is %v; want three and that it is open, with why", n, r.breaker())
		}
	})
}

// Three tries that helped are no reason to give up, as long as the fault stays away.
func TestTheBreakerStaysClosedWhileTheFaultIsAway(t *testing.T) {
	in(t, usual, func(r *rig) {
		r.begin(0)
		for range 3 {
			r.machine.Crash(service, 1)
			time.Sleep(5 * time.Minute)
		}
		time.Sleep(20 * time.Minute)
		if r.attempts() != 3 || r.breaker().GetOpen() {
			t.Fatalf("there were %d attempts and the breaker is %v; want three, and that it is closed: all is well", r.attempts(), r.breaker())
		}
		r.machine.Crash(service, 1)
		time.Sleep(5 * time.Minute)
		if r.attempts() != 3 || !r.breaker().GetOpen() || !strings.Contains(r.breaker().GetReason(), "there again after 3 attempts") {
			t.Errorf("there were %d attempts and the breaker is %v; want it open when the fault comes back", r.attempts(), r.breaker())
		}
	})
}

// broken makes a rig whose breaker is open.
func broken(t *testing.T) *rig {
	r := newRig(t)
	r.begin(0)
	r.flap(20 * time.Minute)
	if !r.breaker().GetOpen() {
		t.Fatalf("the breaker is %v, want it open", r.breaker())
	}
	return r
}

func TestAPersonResetsABreaker(t *testing.T) {
	in(t, broken, func(r *rig) {
		r.engine.Reset(&agentv1.BreakerReset{Entry: "other", By: "ada"})
		if !r.breaker().GetOpen() || r.count("closed 0") != 1 {
			t.Fatalf("the breaker is %v; want it open and an answer for the one that is not there", r.breaker())
		}
		r.engine.Reset(&agentv1.BreakerReset{Entry: entry, Action: "start", By: "ada"})
		var last *agentv1.BreakerState
		must(t, r.book.News(0, func(n *agentv1.News) bool {
			if b := n.GetBreaker(); b != nil && b.GetEntry() == entry {
				last = b
			}
			return true
		}))
		if last.GetOpen() || last.GetAttempts() != 0 || last.GetReason() != "reset by ada" {
			t.Errorf("the server is told %v, want that it is closed and by whom", last)
		}
		time.Sleep(5 * time.Minute)
		if r.attempts() != 4 || !r.runs() {
			t.Errorf("there were %d attempts, want another one that helps", r.attempts())
		}
	})
}

func TestAnotherAdapterClosesBreakers(t *testing.T) {
	adapter := func(instance string) *agentv1.Facts {
		return &agentv1.Facts{Adapter: &actionv1.DeviceState{Devices: []*actionv1.Device{{Instance: instance}}}}
	}
	in(t, func(t *testing.T) *rig {
		r := newRig(t)
		r.begin(0)
		r.engine.SetFacts(adapter("USB/1"))
		r.flap(20 * time.Minute)
		return r
	}, func(r *rig) {
		r.engine.SetFacts(&agentv1.Facts{}) // unplugged
		r.engine.SetFacts(adapter("USB/1"))
		if !r.breaker().GetOpen() {
			t.Fatal("the same adapter, plugged in again, closed the breaker")
		}
		r.end()
		r.begin(0)
		r.engine.SetFacts(adapter("USB/2"))
		if r.breaker().GetOpen() || r.breaker().GetReason() != "the adapter was swapped" {
			t.Errorf("the breaker is %v, want it closed: what was tried was tried with the old adapter", r.breaker())
		}
	})
}

// A machine whose clock is set back, at each start of the agent again, has no more attempts for it.
func TestAClockThatIsSetBackGivesNoMoreAttempts(t *testing.T) {
	in(t, func(t *testing.T) *rig {
		r := newRig(t)
		begun := time.Now()
		back := 0
		r.wall = func() time.Time { back++; return begun.Add(-time.Duration(back) * 24 * time.Hour) }
		return r
	}, func(r *rig) {
		for range 5 {
			r.begin(0)
			r.flap(9 * time.Minute)
			r.end()
		}
		r.begin(0)
		if n := r.attempts(); n != 3 || !r.breaker().GetOpen() {
			t.Fatalf("there were %d attempts within 45 minutes and the breaker is %v, want three and it open", n, r.breaker())
		}
		r.flap(70 * time.Minute)
		if n := r.attempts(); n <= 3 {
			t.Errorf("there were %d attempts after another 70 minutes, want more: time goes on by what has elapsed", n)
		}
	})
}

// The server's tasks count like the agent's own. Those of policies are refused by an open breaker, a person's are not.
func TestTasksOfTheServerCount(t *testing.T) {
	in(t, usual, func(r *rig) {
		r.begin(0)
		r.runner.SessionStarted()
		for i := range 3 {
			r.machine.Crash(service, 1)
			time.Sleep(time.Minute)
			if res := r.remedy(fmt.Sprintf("j-%d", i), policy); res.GetStatus() != actionv1.TaskStatus_TASK_STATUS_SUCCEEDED {
				t.Fatalf("attempt %d came to %s (%s)", i+1, res.GetStatus(), res.GetReason())
			}
		}
		r.machine.Crash(service, 1)
		time.Sleep(time.Minute)
		res := r.remedy("j-3", policy)
		if res.GetStatus() != actionv1.TaskStatus_TASK_STATUS_REFUSED || !strings.HasPrefix(res.GetReason(), "breaker: ") || !strings.Contains(res.GetReason(), "may be tried again at 20") {
			t.Errorf("the fourth attempt came to %s (%s), want it refused by the breaker, with when it opens again", res.GetStatus(), res.GetReason())
		}
		if res := r.remedy("j-4", ""); res.GetStatus() != actionv1.TaskStatus_TASK_STATUS_SUCCEEDED {
			t.Errorf("a person's task came to %s (%s), want it done", res.GetStatus(), res.GetReason())
		}
		if n := len(r.breaker().GetAttempts()); n != 4 || !r.breaker().GetOpen() {
			t.Errorf("%d attempts are counted and the breaker is %v, want the person's too", n, r.breaker())
		}
		r.runner.SessionEnded()
		r.machine.Crash(service, 1)
		time.Sleep(30 * time.Minute)
		if r.runs() {
			t.Error("the agent did by itself what the breaker keeps the server from")
		}
	})
}

// A dry run changes nothing, and a task that never began is none.
func TestWhatDidNotBeginIsNoAttempt(t *testing.T) {
	in(t, usual, func(r *rig) {
		r.begin(0)
		r.runner.SessionStarted()
		dry := r.task("j-dry", policy)
		dry.DryRun = true
		must(t, r.runner.Dispatch(t.Context(), &agentv1.Dispatch{Task: dry, PermitValidFor: durationpb.New(30 * time.Second)}))
		cancelled := r.task("j-off", policy)
		must(t, r.runner.Dispatch(t.Context(), &agentv1.Dispatch{Task: cancelled}))
		r.runner.Cancel(cancelled.GetKey(), "enough")
		time.Sleep(time.Minute)
		if r.server.result("j-dry") == nil || r.server.result("j-off") == nil || r.breaker() != nil {
			t.Errorf("the results are %v and %v and the breaker is %v; want both and none", r.server.result("j-dry"), r.server.result("j-off"), r.breaker())
		}
	})
}

func TestAPolicysTaskKeepsToTheCooldown(t *testing.T) {
	in(t, func(t *testing.T) *rig {
		r := newRig(t)
		r.orders.Reflexes[0].Guardrails.Cooldown = durationpb.New(10 * time.Minute)
		return r
	}, func(r *rig) {
		r.begin(0)
		r.runner.SessionStarted()
		r.remedy("j-1", policy)
		if res := r.remedy("j-2", policy); res.GetStatus() != actionv1.TaskStatus_TASK_STATUS_REFUSED || !strings.HasPrefix(res.GetReason(), "cooldown: ") {
			t.Errorf("a task at once after another came to %s (%s), want it refused", res.GetStatus(), res.GetReason())
		}
		if res := r.remedy("j-3", ""); res.GetStatus() == actionv1.TaskStatus_TASK_STATUS_REFUSED {
			t.Errorf("a person's task was refused: %s", res.GetReason())
		}
		time.Sleep(11 * time.Minute)
		if res := r.remedy("j-4", policy); res.GetStatus() == actionv1.TaskStatus_TASK_STATUS_REFUSED {
			t.Errorf("after the cooldown a task was refused: %s", res.GetReason())
		}
	})
}

// Two processes of the agent count one attempt once, whatever the agent was doing when it ended.
func TestAnAttemptIsCountedOnce(t *testing.T) {
	in(t, usual, func(r *rig) {
		r.begin(0)
		task := r.task("j-1", policy)
		for range 3 {
			must(t, r.engine.Begins(task))
			r.end()
			r.begin(0)
		}
		if n := len(r.breaker().GetAttempts()); n != 1 {
			t.Errorf("%d attempts are counted for one task", n)
		}
	})
}
