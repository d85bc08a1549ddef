package reflex

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bandfleet/bandfleet/agent/runner"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// in runs a test in a bubble of time.
func in(t *testing.T, r func(t *testing.T) *rig, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		rig := r(t)
		defer rig.done()
		test(rig)
		if len(rig.server.foreign) > 0 {
			t.Errorf("the server was told of %v, which it has no job for: it would end the session", rig.server.foreign)
		}
	})
}

func usual(t *testing.T) *rig { return newRig(t) }

func (r *rig) wantTold(want ...string) {
	r.t.Helper()
	if got := r.told(); !slices.Equal(got, want) {
		r.t.Errorf("the server is to be told %q, want %q", got, want)
	}
}

func (r *rig) runs() bool { return r.machine.PID(service) != 0 }

// A service that stops while the line is cut is started by the agent alone, and the server learns all of it in order.
func TestAFaultIsRemediedWhileTheServerIsAway(t *testing.T) {
	in(t, usual, func(r *rig) {
		r.begin(0)
		r.runner.SessionStarted()
		time.Sleep(time.Minute)
		r.runner.SessionEnded()
		r.machine.Crash(service, 1)
		time.Sleep(31 * time.Second) // it is noticed, and the server is away for longer than 15 s
		time.Sleep(time.Minute)
		if !r.runs() {
			t.Error("the service is stopped still")
		}
		r.wantTold("fault", "closed 1", "reflex 1 TASK_STATUS_SUCCEEDED", "gone")
		open, err := r.book.OpenTasks()
		if err != nil || len(open) > 0 {
			t.Errorf("the journal has the open tasks %v, %v; want none: the result is in the news", open, err)
		}
		must(t, r.book.News(2, func(n *agentv1.News) bool {
			x := n.GetReflex()
			if x == nil {
				return false
			}
			if x.GetPolicy() != policy || x.GetEntry() != entry || x.GetAction() != "start" || len(x.GetResult().GetEffects()) != 1 || x.GetStarted() == nil {
				t.Errorf("the reflex is told as %v, want what was done, for what and by which policy", x)
			}
			return true
		}))
	})
}

func TestWithASessionTheServerDecides(t *testing.T) {
	in(t, usual, func(r *rig) {
		r.begin(0)
		r.runner.SessionStarted()
		r.machine.Crash(service, 1)
		time.Sleep(time.Hour)
		if r.runs() {
			t.Error("the agent did by itself what was the server's to decide")
		}
		r.runner.SessionEnded()
		time.Sleep(14 * time.Second)
		if r.runs() {
			t.Error("the agent did not wait for a line that was cut for a moment")
		}
		time.Sleep(10 * time.Second)
		if !r.runs() {
			t.Error("the service is stopped still, and nobody else is there")
		}
	})
}

// What keeps the agent from acting alone.
func TestNothingIsRemediedThatMustNotBe(t *testing.T) {
	report := func(change func(*agentv1.FaultReport)) func(*rig) {
		return func(r *rig) {
			r.blind = true
			r.begin(0)
			f := fault(false)
			change(f)
			must(r.t, r.engine.Fault(f))
		}
	}
	orders := func(change func(*agentv1.Orders)) func(*rig) {
		return func(r *rig) { change(r.orders); r.begin(0) }
	}
	for name, begin := range map[string]func(*rig){
		"frozen":            orders(func(o *agentv1.Orders) { o.Frozen = true }),
		"not by the agent":  orders(func(o *agentv1.Orders) { o.Reflexes[0].ByAgent = false }),
		"another entry":     orders(func(o *agentv1.Orders) { o.Reflexes[0].Entry = "other" }),
		"not offered":       orders(func(o *agentv1.Orders) { o.Reflexes[0].Action = "other" }),
		"asks a person":     orders(func(o *agentv1.Orders) { o.Reflexes[0].Action = "ask" }),
		"a placeholder":     orders(func(o *agentv1.Orders) { o.Reflexes[0].Params = map[string]string{"a": "{site.nes_url}"} }),
		"a bad parameter":   orders(func(o *agentv1.Orders) { o.Reflexes[0].Params = map[string]string{"a": "b"} }),
		"a guess":           report(func(f *agentv1.FaultReport) { f.Confidence = agentv1.Confidence_CONFIDENCE_GUESS }),
		"several it may be": report(func(f *agentv1.FaultReport) { f.Candidates = []string{"other"} }),
		"an old line":       report(func(f *agentv1.FaultReport) { f.Historical = true }),
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) *rig { return newRig(t, start{}, start{name: "ask", asks: true}) }, func(r *rig) {
				r.machine.Crash(service, 1)
				begin(r)
				time.Sleep(time.Hour)
				if r.runs() {
					t.Error("the service was started")
				}
				for _, told := range r.told() {
					if told != "fault" {
						t.Errorf("the server is told %q, want the fault only", told)
					}
				}
			})
		})
	}
}

// A task of the agent's own that waits for people is taken back when the server is there again, or when it is not wanted any more.
func TestAReflexWaitsForAQuietMoment(t *testing.T) {
	quiet := func(t *testing.T) *rig {
		r := newRig(t)
		r.orders.Reflexes[0].Guardrails.OnlyWhenQuiet = true
		r.machine.SignIn("ada", actionv1.UserActivity_USER_ACTIVITY_ACTIVE)
		r.machine.Crash(service, 1)
		r.begin(0)
		time.Sleep(5 * time.Minute)
		if r.runs() {
			t.Error("somebody was disturbed")
		}
		return r
	}
	t.Run("and runs then", func(t *testing.T) {
		in(t, quiet, func(r *rig) {
			r.machine.SignIn("ada", actionv1.UserActivity_USER_ACTIVITY_AWAY)
			time.Sleep(10 * time.Second)
			if !r.runs() {
				t.Error("nobody was there and the service is stopped still")
			}
		})
	})
	t.Run("unless the server is back", func(t *testing.T) {
		in(t, quiet, func(r *rig) {
			r.runner.SessionStarted()
			r.machine.SignIn("ada", actionv1.UserActivity_USER_ACTIVITY_AWAY)
			time.Sleep(time.Hour)
			if r.runs() || r.count("closed 1") > 0 {
				t.Errorf("it ran although the server was back; told %q", r.told())
			}
		})
	})
	t.Run("unless the site is frozen", func(t *testing.T) {
		in(t, quiet, func(r *rig) {
			must(t, r.engine.Take(&agentv1.Orders{Frozen: true, Reflexes: r.orders.GetReflexes()}))
			time.Sleep(time.Second)
			r.machine.SignIn("ada", actionv1.UserActivity_USER_ACTIVITY_AWAY)
			time.Sleep(time.Hour)
			if r.runs() {
				t.Error("it ran although it was frozen meanwhile")
			}
		})
	})
}

// Killed at each of its writes, the agent tells of each attempt exactly once, and the service runs in the end.
func TestAReflexSurvivesTheEndOfTheAgentAnywhere(t *testing.T) {
	for step, died := 1, true; died && !t.Failed(); step++ {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			defer r.done()
			r.machine.Crash(service, 1)
			up := r.begin(step)
			for range 600 {
				if !up || r.life.isDead() {
					break
				}
				time.Sleep(time.Second)
			}
			did := strings.Join(r.life.did, ", ")
			if died = r.life.isDead(); died {
				r.end()
				r.begin(0)
				time.Sleep(15 * time.Minute)
			}
			r.checkEnd(fmt.Sprintf("died at step %d of %s", step, did))
		})
	}
}

// checkEnd holds any course of a reflex to what must be true in the end.
func (r *rig) checkEnd(how string) {
	r.t.Helper()
	told := r.told()
	if !r.runs() {
		r.t.Errorf("%s: the service is stopped in the end", how)
	}
	attempts := map[string]int{}
	for _, w := range told {
		if strings.HasPrefix(w, "reflex") {
			attempts[w]++
		}
	}
	b := r.breaker()
	for _, a := range b.GetAttempts() {
		if a.GetEnded() == 0 {
			r.t.Errorf("%s: attempt %s has no end", how, a.GetKey().GetJobId())
		}
	}
	if len(attempts) != len(b.GetAttempts()) || len(attempts) == 0 || len(attempts) > 2 {
		r.t.Errorf("%s: the server is told of the attempts %v and %d are counted, want each that began told once", how, attempts, len(b.GetAttempts()))
	}
	for w, n := range attempts {
		if n > 1 {
			r.t.Errorf("%s: %q is told %d times", how, w, n)
		}
	}
	// The service runs before what was interrupted is at its end, so that the fault may be gone first.
	if len(told) == 0 || told[0] != "fault" || r.count("gone") != 1 {
		r.t.Errorf("%s: the server is told %q, want the fault first and once that it is gone", how, told)
	}
	open, err := r.book.OpenTasks()
	if err != nil || len(open) > 0 {
		r.t.Errorf("%s: the journal has the open tasks %v, %v; want none", how, open, err)
	}
}

// A reflex that an earlier process had begun, and that the server has no job for, is in no hello.
func TestTheAgentsOwnTasksAreNotTheServers(t *testing.T) {
	in(t, usual, func(r *rig) {
		r.machine.Crash(service, 1)
		r.blind = true
		k := &agentv1.TaskKey{JobId: runner.OwnPrefix + "x", Attempt: 1}
		_, _, err := r.book.Accept(&agentv1.Task{Key: k, Action: "start", Remedies: &agentv1.Remedies{Entry: entry, Policy: policy}}, time.Now())
		must(t, err)
		must(t, r.book.Start(k, time.Now(), "boot-1"))
		r.begin(0)
		open, err := r.runner.OpenTasks()
		results, err2 := r.runner.Unacknowledged()
		if err != nil || err2 != nil || len(open)+len(results) > 0 {
			t.Errorf("the server would be told of %v and %v (%v, %v), want nothing", open, results, err, err2)
		}
		if err := r.runner.Dispatch(t.Context(), &agentv1.Dispatch{Task: &agentv1.Task{Key: k}}); err == nil {
			t.Error("a server's task was taken under the name of one of the agent's own")
		}
	})
}

// A line that may mean a fault does not hide the state that is known of it.
func TestALineDoesNotHideAState(t *testing.T) {
	in(t, usual, func(r *rig) {
		r.blind = true
		r.machine.Crash(service, 1)
		r.begin(0)
		line := fault(false)
		line.Rule, line.Confidence = entry+"/screen", agentv1.Confidence_CONFIDENCE_GUESS
		for _, f := range []*agentv1.FaultReport{line, fault(false), line} {
			must(t, r.engine.Fault(f))
		}
		var told *agentv1.FaultReport
		must(t, r.book.News(0, func(n *agentv1.News) bool { told = n.GetFault(); return false }))
		if told.GetCount() != 3 || told.GetRule() != "state" || told.GetConfidence() != agentv1.Confidence_CONFIDENCE_STATE {
			t.Errorf("the server is told %v, want one fault that was seen three times, as a state", told)
		}
		r.end()
		r.begin(0)
		time.Sleep(time.Minute)
		if !r.runs() {
			t.Error("the service is stopped still, and its state is known")
		}
	})
}

// What is more than a server takes is cut before it is journalled, and is one fault from its first report to its last.
func TestReportsAreCutToWhatAServerTakes(t *testing.T) {
	in(t, usual, func(r *rig) {
		r.blind = true
		r.begin(0)
		f := &agentv1.FaultReport{Entry: entry, Subject: strings.Repeat("s", 3000), Confidence: agentv1.Confidence_CONFIDENCE_STATE}
		for range 30 {
			f.Evidence = append(f.Evidence, &agentv1.Evidence{Name: "line", Value: strings.Repeat("x", 5000)})
		}
		must(t, r.engine.Fault(f))
		f.Gone, f.Evidence = true, nil
		must(t, r.engine.Fault(f))
		waiting, err := r.outbox.Pending(0, 10)
		must(t, err)
		if len(waiting) != 2 || len(waiting[0].GetFault().GetEvidence()) != 16 || len(waiting[0].GetFault().GetEvidence()[0].GetValue()) > 1<<10 {
			t.Errorf("%d pieces of news wait, want a fault with 16 pieces of evidence of at most 1 KiB, and its end", len(waiting))
		}
		open, err := r.book.OpenFaults()
		must(t, err)
		if len(open) != 0 || waiting[0].GetFault().GetSubject() != waiting[1].GetFault().GetSubject() {
			t.Errorf("%d faults are open after the end, want none: it has one subject from beginning to end", len(open))
		}
	})
}
