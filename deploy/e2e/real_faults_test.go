//go:build real

package e2e

import (
	"strings"
	"testing"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

const (
	// endpointGone is the entry of an endpoint that does not run, startsStopped the policy that comes with the server for it.
	endpointGone, startsStopped = "nbe-missing", "start-stopped-services"
	// tries is how often that policy tries within its period.
	tries = 3
	// sees bounds what takes a second or two on an idle machine, below the minute after which services that nobody watches are read.
	sees = 30 * time.Second
	// mends bounds the wait for a remedy and its settling time on a machine that is busy.
	mends = 2 * longEnough
)

// faulty is a real machine whose endpoint dies, whose server goes away, and whose programs write logs.
type faulty interface {
	logWriter
	// pid is the process of the endpoint's service, 0 when there is none.
	pid(t testing.TB) int
	// die ends that process as a crash does: nobody has asked the operating system to stop the service.
	die(t testing.TB)
	// away makes the server unreachable, and back reachable again.
	away(t testing.TB)
	back(t testing.TB)
}

// loop is the way of faults on one machine: found, remedied, verified; or given to a person.
type loop struct {
	*fleet
	t        *testing.T
	machine  faulty
	terminal string
	// fault is the one of the endpoint. It comes back again and again, within a day.
	fault string
}

// run takes the machine through all of it. Three deaths are remedied, by the server and by the agent alone; the fourth is for a person.
func (l *loop) run() {
	l.t.Run("the agent follows its logs", l.with((*loop).logsAreFollowed))
	l.t.Run("a service that dies is started again", l.with((*loop).deathIsRemedied))
	l.t.Run("logs that are treated badly are read on", l.with((*loop).logsAreReadOn))
	l.t.Run("the agent does it without the server", l.with((*loop).reflexWhileAway))
	l.t.Run("what dies again and again is for a person", l.with((*loop).flappingIsForPeople))
}

// with makes a step a test of its own. What follows a step that failed would say nothing.
func (l *loop) with(step func(*loop)) func(*testing.T) {
	return func(t *testing.T) {
		if l.t.Failed() {
			t.Fatal("an earlier step failed, so this one was not begun")
		}
		whole, of := l.t, l.fleet.t
		l.t, l.fleet.t = t, t
		defer func() { l.t, l.fleet.t = whole, of }()
		step(l)
	}
}

// faultsOf are the faults of an entry at the machine, those that are over, too.
func (l *loop) faultsOf(entry string) []*fleetv1.Fault {
	l.t.Helper()
	all := &fleetv1.ListFaultsResponse{}
	unmarshal(l.t, l.mustCtl("get", "faults", "--since", "1h", "--terminal", l.terminal, "--entry", entry, "-o", "json"), all)
	return all.GetFaults()
}

// onlyFault waits for a fault of an entry, of which there must never be two.
func (l *loop) onlyFault(entry string) *fleetv1.Fault {
	l.t.Helper()
	var found []*fleetv1.Fault
	eventually(l.t, "the fault "+entry+" is known", func() bool {
		found = l.faultsOf(entry)
		return len(found) > 0
	})
	if len(found) != 1 {
		l.t.Fatalf("there are %d faults %s, want one: %v", len(found), entry, found)
	}
	return found[0]
}

func (l *loop) show() *fleetv1.Fault {
	l.t.Helper()
	shown := &fleetv1.GetFaultResponse{}
	unmarshal(l.t, l.mustCtl("fault", "show", l.fault, "-o", "json"), shown)
	return shown.GetFault()
}

// awaitResolved waits until the endpoint's fault has come back so often and has ended, and it is known by what: a detector is faster than a
// job, which goes on watching for a while.
func (l *loop) awaitResolved(reopened uint32, by string) *fleetv1.Fault {
	l.t.Helper()
	var f *fleetv1.Fault
	eventuallyWithin(l.t, mends, "fault "+l.fault+" is resolved by a "+by, func() bool {
		f = l.show()
		over := f.GetState() == fleetv1.FaultState_FAULT_STATE_RESOLVED && f.GetReopened() == reopened
		return over && strings.HasPrefix(f.GetResolvedBy(), by)
	})
	if l.machine.pid(l.t) == 0 {
		l.t.Errorf("fault %s is resolved and the endpoint has no process, want one", l.fault)
	}
	return f
}

// wantJob wants what ended a fault to be a job of the policy, and waits until it is over: it watches the service for a while.
func (l *loop) wantJob(f *fleetv1.Fault) {
	l.t.Helper()
	job := strings.TrimPrefix(f.GetResolvedBy(), "job ")
	wantTask(l.t, l.awaitTask(job), succeeded, "")
	if got := l.job(job); got.GetRequester() != "policy "+startsStopped || got.GetFaultId() != l.fault {
		l.t.Errorf("job %s was asked for by %q for fault %q, want the policy %s and %s", job, got.GetRequester(), got.GetFaultId(), startsStopped, l.fault)
	}
}

// deathIsRemedied: the policy is as it comes with the server.
func (l *loop) deathIsRemedied() {
	died := l.kill()
	f := l.onlyFault(endpointGone)
	l.fault = f.GetId()
	known := time.Since(died)
	seen := f.GetFirstSeen().AsTime().Sub(died)
	l.t.Logf("the agent saw the death after %v; the server knew of the fault after %v, %v of which the rule waits", seen, known, 3*time.Second)
	if seen > sees {
		l.t.Errorf("the agent saw the death after %v, want that it watches services and needs no more than seconds", seen)
	}
	l.wantJob(l.awaitResolved(0, "job "))
	l.t.Logf("it was started again, watched, and resolved after %v", time.Since(died))
	// The policy's limit would have the machine stand still for minutes from now on. The agent hears of it during the next step.
	l.mustCtl("policy", "set", startsStopped, "--cooldown", "1s", "--reason", "real parts")
}

// kill ends the endpoint, which must run, and returns when that was.
func (l *loop) kill() time.Time {
	l.t.Helper()
	eventually(l.t, "the endpoint runs", func() bool { return l.machine.pid(l.t) != 0 })
	died := time.Now()
	l.machine.die(l.t)
	return died
}

// reflexWhileAway: what the agent did while nobody could ask it is told when the server is back.
func (l *loop) reflexWhileAway() {
	l.machine.away(l.t)
	before := l.machine.pid(l.t)
	died := l.kill()
	eventuallyWithin(l.t, mends, "the agent has started the endpoint by itself", func() bool {
		now := l.machine.pid(l.t)
		return now != 0 && now != before
	})
	l.t.Logf("without the server, the endpoint ran again after %v", time.Since(died))
	l.machine.back(l.t)
	l.awaitOnline(l.terminal)
	l.awaitResolved(1, "reflex "+startsStopped)
	eventually(l.t, "the fault's history has the reflex's run", func() bool {
		return strings.Contains(l.mustCtl("fault", "show", l.fault), "ble-restart, attempt 2: succeeded")
	})
}

// flappingIsForPeople: the agent counts its own tries and the server's alike, and the breaker opens after the third.
func (l *loop) flappingIsForPeople() {
	l.kill()
	l.wantJob(l.awaitResolved(tries-1, "job "))
	l.kill()
	var f *fleetv1.Fault
	eventuallyWithin(l.t, mends, "a person has a task for it", func() bool {
		f = l.show()
		return f.GetGuidedTask() != "" && f.GetState() == fleetv1.FaultState_FAULT_STATE_GUIDED
	})
	wantText(l.t, "the decision", f.GetDecision(), "site-desk")
	wantText(l.t, "guided list", l.mustCtl("guided", "list"), f.GetGuidedTask())
	breakers := &fleetv1.ListBreakersResponse{}
	unmarshal(l.t, l.mustCtl("breaker", "list", "-o", "json"), breakers)
	if all := breakers.GetBreakers(); len(all) != 1 || !all[0].GetOpen() || all[0].GetAttempts() != tries || all[0].GetEntry() != endpointGone {
		l.t.Errorf("the breakers are %v, want one, of %s, open after %d attempts", all, endpointGone, tries)
	}
	if pid := l.machine.pid(l.t); pid != 0 {
		l.t.Errorf("the endpoint runs as process %d, want it left alone after %d tries", pid, tries)
	}
	l.onlyFault(endpointGone)
}
