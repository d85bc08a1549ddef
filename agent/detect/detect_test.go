package detect_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bandfleet/bandfleet/agent/detect"
	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// stopped is the rule that most tests here go by: as in the catalogue, it waits a little for a restart that is under way.
func stopped() *agentv1.StateRule {
	return rule("nbe-missing", 3*time.Second, is("endpoint-service", "stopped", "disabled"))
}

func TestWithoutOrdersNothingIsReadOrReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, hosttest.NewMemory(), terminalRole)
		b.machine.StopNow(host.EndpointService)
		b.start()
		b.pass(time.Hour)
		b.wantNone("there are no orders")
		if got := b.d.Readings(); len(got) != 0 {
			t.Errorf("readings %v, want none before orders", got)
		}
	})
}

func TestAServiceThatDiesIsReportedWithinFiveSecondsAndItsReturnToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, hosttest.NewMemory(), terminalRole)
		b.start()
		b.take(ordersOf("v1", nil, stopped()))
		b.pass(time.Minute)
		b.wantNone("the machine is healthy")
		died := time.Now()
		b.machine.Crash(host.EndpointService, 7)
		b.pass(5 * time.Second)
		r := b.wantOne("a service that died is told within 5 s")
		if r.GetEntry() != "nbe-missing" || r.GetGone() || r.GetRule() != "state" || r.GetOrdersVersion() != "v1" ||
			r.GetConfidence() != agentv1.Confidence_CONFIDENCE_STATE {
			t.Errorf("report %v, want nbe-missing come, by state, of the orders v1", r)
		}
		if !r.GetFirstSeen().AsTime().Equal(died) {
			t.Errorf("first seen %s, want when it died, %s: not when the wait was over", r.GetFirstSeen().AsTime(), died)
		}
		if evidence(r, "exit code") != "7" || evidence(r, "endpoint-service") != "stopped" || evidence(r, "service") != host.EndpointService {
			t.Errorf("evidence %v, want service, state and exit code 7", r.GetEvidence())
		}
		b.machine.StartNow(host.EndpointService)
		b.pass(5 * time.Second)
		if r := b.wantOne("its return is told"); !r.GetGone() || evidence(r, "endpoint-service") != "running" {
			t.Errorf("report %v, want it gone, and running", r)
		}
	})
}

func TestWhatLastsLessThanTheRuleWantsIsNoFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, hosttest.NewMemory(), terminalRole)
		b.start()
		b.take(ordersOf("v1", nil, stopped()))
		b.machine.StopNow(host.EndpointService)
		b.pass(2 * time.Second)
		b.machine.StartNow(host.EndpointService)
		b.pass(time.Minute)
		b.wantNone("it was stopped for 2 s, and the rule wants 3")
		b.machine.StopNow(host.EndpointService)
		b.pass(4 * time.Second)
		b.wantOne("it is stopped for longer")
		b.machine.StartNow(host.EndpointService)
		b.pass(2 * time.Second)
		b.machine.StopNow(host.EndpointService)
		b.pass(30 * time.Second)
		b.wantNone("it ran for 2 s, and the rule wants 3: the fault goes on")
	})
}

func TestAFaultThatLastsIsToldLessAndLessOftenWithItsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, hosttest.NewMemory(), terminalRole)
		b.start()
		b.take(ordersOf("v1", nil, stopped()))
		b.machine.Crash(host.EndpointService, 7)
		b.pass(5 * time.Second)
		b.wantOne("it has come")
		b.pass(time.Hour)
		reports := b.sink.all()
		if len(reports) < 5 || len(reports) > 12 {
			t.Fatalf("%d reports in an hour, want 5 to 12: the first after a minute, later ones every ten", len(reports))
		}
		last := reports[0].GetLastSeen().AsTime()
		for _, r := range reports[1:] {
			if gap := r.GetLastSeen().AsTime().Sub(last); gap < time.Minute {
				t.Errorf("%s between two reports that say the same, want a minute at least", gap)
			}
			last = r.GetLastSeen().AsTime()
			if r.GetCount() == 0 || r.GetGone() {
				t.Errorf("report %v, want how often it was seen meanwhile", r)
			}
		}
	})
}

func TestEvidenceThatMattersIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, hosttest.NewMemory(), terminalRole)
		b.start()
		b.take(ordersOf("v1", nil, stopped()))
		b.machine.Crash(host.EndpointService, 7)
		b.pass(10 * time.Second)
		b.wantOne("it has come")
		b.machine.Install(host.EndpointService, hosttest.Script{Disabled: true})
		b.pass(time.Second)
		if r := b.wantOne("somebody has disabled the service meanwhile"); evidence(r, "endpoint-service") != "disabled" || r.GetGone() {
			t.Errorf("report %v, want the same fault with the new state", r)
		}
	})
}

func TestWhatCannotBeReadNeitherOpensNorEndsAFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, hosttest.NewMemory(), terminalRole)
		services := &flaky{Services: b.cfg.Host.Services}
		b.cfg.Host.Services = services
		b.start()
		services.fails.Store(true)
		b.take(ordersOf("v1", nil, stopped()))
		b.machine.StopNow(host.EndpointService)
		b.pass(10 * time.Minute)
		b.wantNone("nobody knows")
		if got := b.value("endpoint-service", ""); got != "unknown" {
			t.Errorf("endpoint-service is %q, want unknown", got)
		}
		services.fails.Store(false)
		b.pass(5 * time.Second)
		b.wantOne("now it is known")
		services.fails.Store(true)
		b.machine.StartNow(host.EndpointService)
		b.pass(10 * time.Minute)
		for _, r := range b.sink.all() {
			if r.GetGone() {
				t.Errorf("report %v: a fault may not end because nobody can look", r)
			}
		}
		services.fails.Store(false)
		b.pass(5 * time.Second)
		if r := b.wantOne("now it is known to be gone"); !r.GetGone() {
			t.Errorf("report %v, want it gone", r)
		}
	})
}

// flaky are services that cannot be read, nor watched, while fails is set.
type flaky struct {
	host.Services
	fails, hangs, panics atomic.Bool
}

// State implements host.Services.
func (f *flaky) State(ctx context.Context, name string) (*actionv1.ServiceState, error) {
	switch {
	case f.panics.Load() && name == host.EndpointService:
		panic("no such table")
	case f.hangs.Load() && name == host.EndpointService:
		for f.hangs.Load() { // it does not heed its context
			time.Sleep(time.Second)
		}
	case f.fails.Load():
		return nil, host.ServiceError(name, context.DeadlineExceeded)
	}
	return f.Services.State(ctx, name)
}

// Watch implements host.Services.
func (f *flaky) Watch(context.Context, []string, func(*actionv1.ServiceState)) error {
	return host.ErrNotSupported
}

func TestAReaderThatHangsOrPanicsTakesNoOtherDown(t *testing.T) {
	for name, broken := range map[string]func(*flaky, bool){
		"hangs":  func(f *flaky, so bool) { f.hangs.Store(so) },
		"panics": func(f *flaky, so bool) { f.panics.Store(so) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, hosttest.NewMemory(), terminalRole)
				services := &flaky{Services: b.cfg.Host.Services}
				b.cfg.Host.Services = services
				broken(services, true)
				b.start()
				b.take(ordersOf("v1", nil, stopped(), rule("nymi-agent-missing", 0, is("nymi-agent-service", "stopped"))))
				b.pass(2 * time.Minute)
				if got := b.value("endpoint-service", ""); got != "unknown" {
					t.Errorf("endpoint-service is %q, want unknown while its reader %s", got, name)
				}
				b.machine.StopNow(host.AgentService)
				b.pass(5 * time.Second)
				if r := b.wantOne("the other service is seen"); r.GetEntry() != "nymi-agent-missing" {
					t.Errorf("report %v, want the Nymi Agent's", r)
				}
				broken(services, false)
				b.machine.StopNow(host.EndpointService)
				b.pass(2 * time.Minute)
				if got := b.value("endpoint-service", ""); got != "stopped" {
					t.Errorf("endpoint-service is %q, want stopped: its reader works again", got)
				}
				b.stop()
			})
		})
	}
}

// TestAfterARestart: faults that were open are known again.
func TestAfterARestart(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(*bench)
		rules     []*agentv1.StateRule
		gone      bool
		cause     string
	}{
		"still there":              {func(*bench) {}, []*agentv1.StateRule{stopped()}, false, ""},
		"gone meanwhile":           {func(b *bench) { b.machine.StartNow(host.EndpointService) }, []*agentv1.StateRule{stopped()}, true, ""},
		"its rule is gone":         {func(*bench) {}, nil, true, "rule removed"},
		"its rule asks for others": {func(*bench) {}, []*agentv1.StateRule{rule("nbe-missing", 0, is("endpoint-service", "missing"))}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, hosttest.NewMemory(), terminalRole)
				b.start()
				b.take(ordersOf("v1", nil, stopped()))
				b.machine.Crash(host.EndpointService, 7)
				b.pass(10 * time.Second)
				first := b.wantOne("it has come")
				b.stop()
				c.meanwhile(b)
				b.pass(time.Hour)
				line := &agentv1.FaultReport{Entry: "enroll-otp-used", Rule: "enroll-otp-used/nem"}
				b.cfg.Known = []*agentv1.FaultReport{first, line}
				b.start()
				b.take(ordersOf("v2", nil, c.rules...))
				b.pass(50 * time.Second)
				if !c.gone {
					b.wantNone("the fault is known: it has not come anew")
					b.pass(time.Minute)
					r := b.wantOne("it lasts")
					if !r.GetFirstSeen().AsTime().Equal(first.GetFirstSeen().AsTime()) || r.GetGone() {
						t.Errorf("report %v, want the fault of before: first seen %s", r, first.GetFirstSeen().AsTime())
					}
					return
				}
				r := b.wantOne("it is gone")
				if !r.GetGone() || r.GetEntry() != "nbe-missing" || evidence(r, "cause") != c.cause {
					t.Errorf("report %v, want nbe-missing gone with the cause %q", r, c.cause)
				}
			})
		})
	}
}

func TestOrdersAreReplacedWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, hosttest.NewMemory(), terminalRole)
		b.start()
		b.take(ordersOf("v1", nil, stopped()))
		b.machine.Crash(host.EndpointService, 7)
		b.pass(5 * time.Second)
		b.wantOne("it has come")
		other := rule("ble-adapter-missing", 0, is("adapter", "missing"))
		b.take(ordersOf("v2", nil, stopped(), other))
		b.wantNone("the fault goes on under the new orders")
		b.machine.SetAdapters(0)
		b.pass(11 * time.Second)
		if r := b.wantOne("the new rule holds"); r.GetEntry() != "ble-adapter-missing" || r.GetOrdersVersion() != "v2" {
			t.Errorf("report %v, want ble-adapter-missing of v2", r)
		}
		b.take(ordersOf("v3", nil, other))
		if r := b.wantOne("the old rule is gone"); !r.GetGone() || r.GetEntry() != "nbe-missing" || evidence(r, "cause") != "rule removed" {
			t.Errorf("report %v, want nbe-missing gone: rule removed", r)
		}
	})
}

func TestOrdersThatMakeNoSenseAreRefusedAndChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, hosttest.NewMemory(), terminalRole)
		b.start()
		b.take(ordersOf("v1", nil, stopped()))
		for want, bad := range map[string]*agentv1.StateRule{
			"has no entry":        rule("", 0, is("adapter", "missing")),
			"asks for nothing":    rule("e", 0),
			"not negative":        rule("e", -time.Second, is("adapter", "missing")),
			"without a name":      rule("e", 0, is("adapter")),
			"which opens no":      rule("e", 0, is("adapter", "unknown")),
			`state rule 2 (entry`: rule("e", 0, is("", "x")),
		} {
			err := b.d.Take(ordersOf("v2", nil, stopped(), bad))
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "v2") {
				t.Errorf("Take(%v) = %v, want an error with %q and the orders' version", bad, err, want)
			}
		}
		newer := rule("of-a-newer-release", 0, is("weather", "bad"))
		if err := b.d.Take(ordersOf("v3", nil, newer, stopped())); err != nil {
			t.Errorf("Take with a signal of a newer release = %v, want that rule left out and the others taken", err)
		}
		b.machine.StopNow(host.EndpointService)
		b.pass(5 * time.Second)
		if r := b.wantOne("the rest of the orders counts"); r.GetOrdersVersion() != "v3" {
			t.Errorf("report %v, want one of v3", r)
		}
	})
}

func TestAReportThatIsNotKeptIsOfferedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, hosttest.NewMemory(), terminalRole)
		b.start()
		b.take(ordersOf("v1", nil, stopped()))
		b.sink.refuse = 3
		b.machine.StopNow(host.EndpointService)
		b.pass(30 * time.Second)
		b.wantOne("the fourth time it is kept")
		b.sink.refuse = 2
		b.machine.StartNow(host.EndpointService)
		b.pass(30 * time.Second)
		if r := b.wantOne("the third time it is kept"); !r.GetGone() {
			t.Errorf("report %v, want it gone", r)
		}
	})
}

func TestAClockThatJumpsMakesNoFaultComeOrGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, hosttest.NewMemory(), terminalRole)
		var jump atomic.Int64
		b.cfg.Now = func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }
		b.start()
		b.take(ordersOf("v1", nil, rule("nbe-missing", time.Minute, is("endpoint-service", "stopped"))))
		b.machine.StopNow(host.EndpointService)
		b.pass(10 * time.Second)
		jump.Store(int64(24 * time.Hour))
		b.pass(40 * time.Second)
		b.wantNone("50 s are less than a minute, whatever the clock says")
		b.pass(15 * time.Second)
		b.wantOne("a minute has passed")
		jump.Store(int64(-24 * time.Hour))
		b.pass(3 * time.Second)
		b.wantNone("nothing has changed")
		b.machine.StartNow(host.EndpointService)
		b.pass(61 * time.Second)
		if r := b.wantOne("it is gone for a minute"); !r.GetGone() {
			t.Errorf("report %v, want it gone", r)
		}
	})
}

func TestFiveHundredSubjectsAreFaultsOfTheirOwn(t *testing.T) {
	const count = 500
	synctest.Test(t, func(t *testing.T) {
		nes := hosttest.NewNESHost()
		b := newBench(t, nes, nesRole)
		site := &actionv1.Surroundings{}
		for i := range count {
			address := fmt.Sprintf("sql-%d.example:1433", i)
			site.KnownHosts = append(site.KnownHosts, &actionv1.KnownHost{Label: "sql", Address: address})
			nes.SetReachable(address, i%2 == 0)
		}
		b.start()
		b.take(ordersOf("v1", site, rule("sql-error-26", 2*time.Minute, is("sql-server", "failed"))))
		b.pass(3 * time.Minute)
		reports := b.sink.all()
		seen := map[string]bool{}
		for _, r := range reports {
			seen[r.GetSubject()] = true
		}
		if len(reports) != count/2 || len(seen) != count/2 {
			t.Fatalf("%d reports of %d subjects, want %d of as many", len(reports), len(seen), count/2)
		}
		site.KnownHosts = site.KnownHosts[:10]
		b.take(ordersOf("v2", site, rule("sql-error-26", 2*time.Minute, is("sql-server", "failed"))))
		b.pass(time.Second)
		gone := 0
		for _, r := range b.sink.all() {
			if r.GetGone() {
				gone++
			}
		}
		if want := (count - 10) / 2; gone != want {
			t.Errorf("%d faults are gone with their hosts, want %d at once: what is not there has no fault", gone, want)
		}
	})
}

func TestTwoRulesOfAnEntryAreOneFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, hosttest.NewMemory(), terminalRole)
		b.start()
		b.take(ordersOf("v1", nil,
			rule("both", 0, is("endpoint-service", "stopped")), rule("both", 0, is("nymi-agent-service", "stopped"), is("adapter", "ok"))))
		b.machine.StopNow(host.EndpointService)
		b.pass(10 * time.Second)
		b.wantOne("the first rule holds")
		b.machine.StopNow(host.AgentService)
		b.pass(10 * time.Second)
		if r := b.wantOne("the second one holds too"); evidence(r, "nymi-agent-service") != "stopped" || evidence(r, "endpoint-service") != "stopped" {
			t.Errorf("report %v, want the evidence of both", r)
		} else if e := r.GetEvidence(); e[0].GetName() != "endpoint-service" || e[1].GetName() != "nymi-agent-service" || e[2].GetName() != "adapter" {
			t.Errorf("evidence %v, want what each signal is before all else: the server decides by it which step is taken", e)
		}
		b.machine.StartNow(host.EndpointService)
		b.pass(10 * time.Second)
		for _, r := range b.sink.all() {
			if r.GetGone() {
				t.Errorf("report %v: it is still there by the second rule", r)
			}
		}
		b.machine.SetAdapters(0)
		b.pass(11 * time.Second)
		if r := b.wantOne("the second one holds no longer, for its other signal"); !r.GetGone() {
			t.Errorf("report %v, want it gone", r)
		}
	})
}

func TestANudgeHasThingsBeReadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, hosttest.NewNESHost(), nesRole)
		b.start()
		b.take(ordersOf("v1", nil))
		b.pass(time.Second)
		b.machine.SetFeature("IIS-ISAPIFilter", false)
		b.pass(time.Minute)
		if got := b.value("windows-features", ""); got != "ok" {
			t.Fatalf("windows-features is %q, want ok: they are read once an hour", got)
		}
		b.d.Nudge("windows-features")
		b.pass(time.Second)
		if got := b.value("windows-features", ""); got != "missing" {
			t.Errorf("windows-features is %q after a nudge, want missing", got)
		}
	})
}

func TestTheSinkMayAskTheDetector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, hosttest.NewMemory(), terminalRole)
		asking := &asker{sink: b.sink}
		b.cfg.Sink = asking
		b.start()
		asking.d = b.d
		b.take(ordersOf("v1", nil, stopped()))
		b.machine.StopNow(host.EndpointService)
		b.pass(5 * time.Second)
		b.wantOne("it has come")
		if asking.readings == 0 {
			t.Error("the sink saw no readings, want those by which it was called")
		}
	})
}

// asker is a sink that uses the detector.
type asker struct {
	*sink
	d        *detect.Detector
	readings int
}

// Fault implements detect.Sink.
func (a *asker) Fault(r *agentv1.FaultReport) error {
	a.readings = len(a.d.Readings())
	a.d.Nudge("adapter")
	return a.sink.Fault(r)
}

func TestNamesOfPeopleAndControlCharactersAreNotInEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, hosttest.NewMemory(), terminalRole)
		b.start()
		b.take(ordersOf("v1", nil, rule("nba-nes-url-wrong", 0, is("nes-url", "not-https"))))
		b.machine.SetRegistry(`SOFTWARE\Nymi\NES`, "URL", "C:\\Users\\jane.doe\\nes\x1b[31m\nhttps://x "+strings.Repeat("y", 2000))
		b.pass(11 * time.Second)
		value := evidence(b.wantOne("it is no https URL"), "value")
		if strings.Contains(value, "jane") || strings.ContainsAny(value, "\x1b\n") || len(value) > 1024 {
			t.Errorf("evidence %q, want no name, no control characters, at most 1 KiB", value)
		}
	})
}
