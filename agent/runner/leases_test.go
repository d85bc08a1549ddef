package runner

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// leased has an effect end by itself after ttl, with a restart of the Nymi Agent.
func leased(e *actionv1.Effect, ttl time.Duration) *actionv1.Effect {
	e.Lease = &actionv1.Lease{Ttl: durationpb.New(ttl), RestartServices: []string{host.AgentService}}
	return e
}

// withLease is a machine on which a task has changed nbe.toml for 10 minutes.
func (b *bench) withLease(t *testing.T) *actionv1.TaskResult {
	t.Helper()
	b.machine.SetFile(host.EndpointRoot, "nbe.toml", oldConfig)
	b.plugins["tap"] = newChanger(b, func() {}, leased(tapEffect(), 10*time.Minute))
	b.plugins["tap"].action.Name = "tap"
	res := b.do(b.task("j", "tap"))
	b.wantStatus(res, succeeded)
	b.wantFile("nbe.toml", newConfig)
	return res
}

func (b *bench) wantLeases(n int) {
	b.t.Helper()
	all, err := b.journal.Leases()
	left := slices.DeleteFunc(all, func(l *storagev1.JournalLease) bool { return l.GetEnded() != nil })
	if err != nil || len(left) != n {
		b.t.Errorf("the journal has the leases %v, %v that have not ended; want %d", left, err, n)
	}
	if all := b.runner.Leases(); len(all) != n {
		b.t.Errorf("the runner holds %v, want %d leases", all, n)
	}
}

// TestALeaseEndsByItself: without server and plugin the change is put back when its time is over, and no earlier, and the services that
// run with it are restarted.
func TestALeaseEndsByItself(t *testing.T) {
	inBench(t, func(b *bench) {
		res := b.withLease(t)
		until := time.Now().Add(10 * time.Minute)
		if len(res.GetLeases()) != 1 || res.GetLeases()[0].GetUntil().AsTime().Sub(until).Abs() > time.Second ||
			!slices.Equal(res.GetLeases()[0].GetResources(), []string{`file "endpoint/nbe.toml"`}) || res.GetLeases()[0].GetJob() != "j" {
			t.Errorf("the result has the leases %v, want one on the file until %s", res.GetLeases(), until)
		}
		pid := b.machine.PID(host.AgentService)
		delete(b.plugins, "tap")
		b.runner.SessionEnded()
		pass(10*time.Minute - 2*time.Second)
		b.wantFile("nbe.toml", newConfig)
		b.wantLeases(1)
		pass(10 * time.Second)
		b.wantFile("nbe.toml", oldConfig)
		b.wantLeases(0)
		if now := b.machine.PID(host.AgentService); now == pid || now == 0 {
			t.Errorf("the Nymi Agent is process %d, was %d; want it restarted", now, pid)
		}
		if left, err := os.ReadDir(filepath.Join(filepath.Dir(b.path), "kept")); err != nil || len(left) != 0 {
			t.Errorf("earlier files %v are kept (%v), want none when nobody can need them", left, err)
		}
	})
}

// TestALeaseEndsWhateverHappensToTheAgentAndItsClock: restarts, time without an agent, and a clock that is set do not prolong it.
func TestALeaseEndsWhateverHappensToTheAgentAndItsClock(t *testing.T) {
	for name, tc := range map[string]struct {
		// down is how long the agent does not run, and change what happens meanwhile.
		down   time.Duration
		change func(l *storagev1.JournalLease)
		// most is how long after its restart the change may still be there, at least is how long it must.
		least, most time.Duration
	}{
		"restart":                      {least: 4*time.Minute + 50*time.Second, most: 5 * time.Minute},
		"not running at the end":       {down: time.Hour, most: time.Second},
		"not running for a while":      {down: 2 * time.Minute, least: 2*time.Minute + 50*time.Second, most: 3 * time.Minute},
		"clock set back by ten hours":  {change: clockSet(-10 * time.Hour), least: 4 * time.Minute, most: 5*time.Minute + leastNote},
		"clock set forward by an hour": {change: clockSet(time.Hour), most: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				b.withLease(t)
				pass(5 * time.Minute)
				if err := b.stop(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(tc.down)
				if tc.change != nil {
					leases, err := b.journal.Leases()
					if err != nil {
						t.Fatal(err)
					}
					tc.change(leases[0])
					if err := b.journal.PutLease(leases[0]); err != nil {
						t.Fatal(err)
					}
				}
				b.start()
				pass(tc.least)
				if tc.least > 0 {
					b.wantFile("nbe.toml", newConfig)
				}
				pass(tc.most - tc.least + 2*time.Second)
				b.wantFile("nbe.toml", oldConfig)
				b.wantLeases(0)
			})
		})
	}
}

// clockSet has a lease look as it does when the machine's clock was moved by d since it was noted last: this test cannot set its clock, so
// it moves what is noted the other way.
func clockSet(d time.Duration) func(l *storagev1.JournalLease) {
	return func(l *storagev1.JournalLease) {
		l.Since, l.Until = stamp(l.GetSince().AsTime().Add(-d)), stamp(l.GetUntil().AsTime().Add(-d))
	}
}

// TestALeaseOfAClockThatIsSetForwardEnds: by the clock it is over, so it is over.
func TestALeaseOfAClockThatIsSetForwardEnds(t *testing.T) {
	now := time.Now()
	l := &storagev1.JournalLease{Since: stamp(now), Until: stamp(now.Add(time.Minute)), Ttl: durationpb.New(time.Hour)}
	if got := left(l, now); got != time.Minute {
		t.Errorf("it has %s left, want the minute that the clock says", got)
	}
}

// TestTheEndOfALeaseLeavesAlone what somebody has changed since.
func TestTheEndOfALeaseLeavesAlone(t *testing.T) {
	inBench(t, func(b *bench) {
		b.withLease(t)
		pid := b.machine.PID(host.AgentService)
		b.machine.SetFile(host.EndpointRoot, "nbe.toml", "rssi_tap_threshold = -99\n")
		pass(11 * time.Minute)
		b.wantFile("nbe.toml", "rssi_tap_threshold = -99\n")
		b.wantLeases(0)
		if l := b.news(1)[0].GetLease(); !l.GetEnded() || !strings.Contains(l.GetOutcome(), `file "endpoint/nbe.toml": somebody has changed`) {
			t.Errorf("the news is %v, want that it ended and what was left alone", l)
		}
		if b.machine.PID(host.AgentService) != pid {
			t.Error("the Nymi Agent was restarted although nothing was put back")
		}
	})
}

// TestTheEndOfALeaseIsTriedAgain, at growing intervals and over a restart, until it comes about.
func TestTheEndOfALeaseIsTriedAgain(t *testing.T) {
	inBench(t, func(b *bench) {
		b.withLease(t)
		tries := 0
		b.machine.Interpose(func(call string) error {
			if strings.HasPrefix(call, "write") {
				tries++
				return errors.New("the disk is full")
			}
			return nil
		})
		pass(70 * time.Minute)
		if tries < 10 || tries > 25 {
			t.Errorf("%d tries in an hour, want one each 5 minutes after the first few", tries)
		}
		if told := b.server.leaseNews(); len(told) != 1 || told[0].GetLease().GetTries() != triesToTell || told[0].GetLease().GetEnded() {
			t.Errorf("the server was told %v, want once that it could not be put back, at the third try", told)
		}
		b.restart()
		pass(time.Minute)
		b.wantLeases(1)
		late := &agentv1.LeaseNewsAck{Id: b.news(1)[0].GetLease().GetId()}
		if l := b.news(1)[0].GetLease(); l.GetTries() < 10 || !strings.Contains(l.GetLastError(), "the disk is full") {
			t.Errorf("a new session would tell %v, want how often it was tried and why it failed", l)
		}
		b.machine.Interpose(nil)
		pass(6 * time.Minute)
		b.wantFile("nbe.toml", oldConfig)
		b.wantLeases(0)
		b.runner.LeaseNewsAcknowledged(late)
		if l := b.news(1)[0].GetLease(); !l.GetEnded() || l.GetLastError() != "" {
			t.Errorf("the news is %v, want the end, which was not acknowledged, and no error: it was put back", l)
		}
	})
}

// TestTheEndOfALeaseIsNewsUntilTheServerKnowsIt, over restarts; what no server takes is forgotten in the end.
func TestTheEndOfALeaseIsNewsUntilTheServerKnowsIt(t *testing.T) {
	for name, tc := range map[string]struct {
		acknowledge bool
		wait        time.Duration
		want        int
	}{
		"acknowledged":      {acknowledge: true},
		"not acknowledged":  {want: 1},
		"after a long time": {wait: keepNews + time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				id := b.withLease(t).GetLeases()[0].GetId()
				pass(11 * time.Minute)
				told := b.server.leaseNews()
				if len(told) != 1 || told[0].GetLease().GetId() != id || told[0].GetKey().GetJobId() != "j" {
					t.Fatalf("the server was told %v, want the end of %q at once", told, id)
				}
				l := told[0].GetLease()
				if !l.GetEnded() || l.GetOutcome() != "" || l.GetTries() != 1 || time.Since(l.GetEndedAt().AsTime()) > 2*time.Minute {
					t.Errorf("the server was told %v, want when it ended, and that all was put back at the first try", l)
				}
				b.restart()
				b.wantLeases(0)
				b.news(1)
				if tc.acknowledge {
					b.runner.LeaseNewsAcknowledged(&agentv1.LeaseNewsAck{Id: id, Ended: true})
					b.runner.LeaseNewsAcknowledged(&agentv1.LeaseNewsAck{Id: id, Ended: true})
				}
				if time.Sleep(tc.wait); tc.wait > 0 {
					b.news(1)
				}
				b.restart()
				b.news(tc.want)
			})
		})
	}
}

// news is what a new session would tell of leases.
func (b *bench) news(want int) []*agentv1.LeaseNews {
	b.t.Helper()
	news, err := b.runner.LeaseNews()
	if err != nil || len(news) != want {
		b.t.Fatalf("a new session would tell %v of leases, %v; want %d", news, err, want)
	}
	return news
}

// TestWhatALeaseHoldsIsHeld: another task is refused and hears which lease it is, unless it ends that lease first.
func TestWhatALeaseHoldsIsHeld(t *testing.T) {
	inBench(t, func(b *bench) {
		id := b.withLease(t).GetLeases()[0].GetId()
		other := editEffect("nbe.toml", "rssi_tap_threshold", new("-42"), new("-50"))
		b.plugins["restart"] = newChanger(b, func() {}, other)
		res := b.do(b.task("refused", "restart"))
		b.wantStatus(res, refusedStatus)
		for _, words := range []string{id, `job "j"`, "2000-01-01T00:10:"} {
			if !strings.Contains(res.GetReason(), words) {
				t.Errorf("reason is %q, want %q in it", res.GetReason(), words)
			}
		}
		b.wantFile("nbe.toml", newConfig)
		release := &actionv1.Effect{Effect: &actionv1.Effect_LeaseRelease{LeaseRelease: &actionv1.LeaseRelease{Id: id}}}
		b.plugins["restart"] = newChanger(b, func() {}, release, editEffect("nbe.toml", "rssi_tap_threshold", new("0"), new("-50")))
		b.wantStatus(b.do(b.task("releases", "restart")), succeeded)
		b.wantLeases(0)
		pass(time.Hour)
		b.wantFile("nbe.toml", strings.Replace(oldConfig, " 0 ", " -50 ", 1))
	})
}

// TestLeasesArePartOfAPlanThatIsRight lists what is refused, and what no plan may have.
func TestLeasesArePartOfAPlanThatIsRight(t *testing.T) {
	for name, tc := range map[string]struct {
		effects []*actionv1.Effect
		want    actionv1.TaskStatus
		reason  string
	}{
		"too short":               {[]*actionv1.Effect{leased(tapEffect(), time.Minute)}, refusedStatus, "5m0s to 24h"},
		"too long":                {[]*actionv1.Effect{leased(tapEffect(), 25*time.Hour)}, refusedStatus, "5m0s to 24h"},
		"of a service":            {[]*actionv1.Effect{leased(stopEffect(service), time.Hour)}, failedStatus, "put back exactly"},
		"without a time":          {[]*actionv1.Effect{leased(tapEffect(), 0)}, failedStatus, "after what time"},
		"two that differ":         {[]*actionv1.Effect{leased(tapEffect(), time.Hour), leased(registryEffect(nil, new("x")), 2*time.Hour)}, failedStatus, "another time"},
		"of a question to people": {[]*actionv1.Effect{leased(askEffect(), time.Hour)}, failedStatus, "changes nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				b.machine.SetFile(host.EndpointRoot, "nbe.toml", oldConfig)
				b.plugins["restart"] = newChanger(b, func() {}, tc.effects...)
				res := b.do(b.task("j", "restart"))
				b.wantStatus(res, tc.want)
				if !strings.Contains(res.GetReason(), tc.reason) {
					t.Errorf("reason is %q, want %q in it", res.GetReason(), tc.reason)
				}
				if calls := b.machine.Calls(); len(calls) > 0 {
					t.Errorf("the machine was told to %v, want nothing", calls)
				}
				b.wantLeases(0)
			})
		})
	}
}

func askEffect() *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_Confirm{Confirm: &actionv1.Confirm{Prompt: "well?", Timeout: durationpb.New(time.Minute)}}}
}

// TestATaskThatFailsHasNoLease: it is undone at once.
func TestATaskThatFailsHasNoLease(t *testing.T) {
	inBench(t, func(b *bench) {
		b.machine.SetFile(host.EndpointRoot, "nbe.toml", oldConfig)
		p := newChanger(b, func() {}, leased(tapEffect(), time.Hour))
		p.verify = func(context.Context, *actionv1.Start, Calls) (*actionv1.Finish, error) {
			return finishVerdict(&actionv1.Check{Name: "helps", Expected: "yes", Observed: "no"}), nil
		}
		b.plugins["restart"] = p
		b.wantStatus(b.do(b.task("j", "restart")), rolledBack)
		b.wantFile("nbe.toml", oldConfig)
		b.wantLeases(0)
	})
}

// TestAnAgentThatIsTakenAwayEndsItsLeases at once.
func TestAnAgentThatIsTakenAwayEndsItsLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		b.withLease(t)
		if err := b.stop(); err != nil {
			t.Fatal(err)
		}
		b.make()
		b.machine.Interpose(func(string) error { return errors.New("the disk is full") })
		if err := b.runner.RevertLeases(t.Context()); err == nil || !strings.Contains(err.Error(), "nbe.toml") {
			t.Errorf("error is %v, want one that names the file that could not be put back", err)
		}
		b.machine.Interpose(nil)
		if err := b.runner.RevertLeases(t.Context()); err != nil {
			t.Errorf("leases are not ended: %v", err)
		}
		if err := b.runner.RevertLeases(t.Context()); err != nil {
			t.Errorf("leases that have ended are ended again: %v", err)
		}
		b.news(1)
		b.wantFile("nbe.toml", oldConfig)
		b.wantLeases(0)
	})
}

// TestALeaseHoldsAResourceInAnyCase: web.config and Web.config are one file on the machines that have them.
func TestALeaseHoldsAResourceInAnyCase(t *testing.T) {
	held := &hold{resources: []string{`file "nes/web.config"`}}
	r := &Runner{holds: []*hold{held}}
	if r.holder(`file "nes/Web.Config"`) != held {
		t.Error("a name in another case is not held, want it held: another task could change what the lease puts back")
	}
	if r.holder(`file "nes/web.config.bak"`) != nil {
		t.Error("another file is held, want it free")
	}
}
