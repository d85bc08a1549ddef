package runner

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

var errCrashed = errors.New("this process is dead")

// life is how long one process of the agent lives: until its n-th step, which is a write to the journal or a deed on the
// machine. A dead process can neither write nor do anything.
type life struct {
	mu sync.Mutex
	// left counts the steps until death; 0 and less means that it does not die.
	left int
	// after has the last step be done before death.
	after bool
	dead  bool
	steps int
	// did is what was done, for messages.
	did []string
}

func (l *life) step(what string, do func() error) error {
	l.mu.Lock()
	if l.dead {
		l.mu.Unlock()
		return errCrashed
	}
	l.steps++
	l.left--
	last := l.left == 0
	l.dead = last
	l.did = append(l.did, what)
	l.mu.Unlock()
	if last && !l.after {
		return errCrashed
	}
	if err := do(); err != nil || !last {
		return err
	}
	return errCrashed
}

func (l *life) died() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

// mortalJournal is a journal as a process with a life sees it.
type mortalJournal struct {
	Journal
	life *life
}

func (m mortalJournal) RaiseEpoch(e uint64) error {
	return m.life.step("raise epoch", func() error { return m.Journal.RaiseEpoch(e) })
}

func (m mortalJournal) Accept(t *agentv1.Task, at time.Time) (rec *storagev1.JournalTask, known bool, err error) {
	err = m.life.step("accept", func() (err error) { rec, known, err = m.Journal.Accept(t, at); return err })
	return rec, known, err
}

func (m mortalJournal) Reject(t *agentv1.Task, at time.Time, res *actionv1.TaskResult) (rec *storagev1.JournalTask, known bool, err error) {
	err = m.life.step("reject", func() (err error) { rec, known, err = m.Journal.Reject(t, at, res); return err })
	return rec, known, err
}

func (m mortalJournal) Start(k *agentv1.TaskKey, at time.Time, boot string) error {
	return m.life.step("start", func() error { return m.Journal.Start(k, at, boot) })
}

func (m mortalJournal) Rerun(k *agentv1.TaskKey, boot string) error {
	return m.life.step("rerun", func() error { return m.Journal.Rerun(k, boot) })
}

func (m mortalJournal) SavePlan(k *agentv1.TaskKey, p *actionv1.Plan) error {
	return m.life.step("plan", func() error { return m.Journal.SavePlan(k, p) })
}

func (m mortalJournal) EnterPhase(k *agentv1.TaskKey, p actionv1.Phase) error {
	return m.life.step("enter "+phaseName(p), func() error { return m.Journal.EnterPhase(k, p) })
}

func (m mortalJournal) SaveUndone(k *agentv1.TaskKey, u []*actionv1.Undo) error {
	return m.life.step("undone", func() error { return m.Journal.SaveUndone(k, u) })
}

func (m mortalJournal) EffectIntent(k *agentv1.TaskKey, run uint32, e *actionv1.RecordedEffect) (n uint32, err error) {
	err = m.life.step("intent "+e.GetPlanId(), func() (err error) { n, err = m.Journal.EffectIntent(k, run, e); return err })
	return n, err
}

func (m mortalJournal) EffectOutcome(k *agentv1.TaskKey, n uint32, e *actionv1.RecordedEffect) error {
	return m.life.step("outcome "+e.GetPlanId(), func() error { return m.Journal.EffectOutcome(k, n, e) })
}

func (m mortalJournal) Finish(k *agentv1.TaskKey, res *actionv1.TaskResult, at time.Time) error {
	return m.life.step("finish", func() error { return m.Journal.Finish(k, res, at) })
}

func (m mortalJournal) PutObligation(o *storagev1.Obligation) error {
	return m.life.step("put obligation", func() error { return m.Journal.PutObligation(o) })
}

func (m mortalJournal) DropObligation(resource string) error {
	return m.life.step("drop obligation", func() error { return m.Journal.DropObligation(resource) })
}

// mortalServices are the machine's services as a process with a life sees them.
type mortalServices struct {
	host.Services
	life *life
}

func (m mortalServices) State(ctx context.Context, name string) (*actionv1.ServiceState, error) {
	if m.life.died() {
		return nil, errCrashed
	}
	return m.Services.State(ctx, name)
}

func (m mortalServices) Stop(ctx context.Context, name string) error {
	return m.life.step("STOP", func() error { return m.Services.Stop(ctx, name) })
}

func (m mortalServices) Start(ctx context.Context, name string) error {
	return m.life.step("START", func() error { return m.Services.Start(ctx, name) })
}

func (m mortalServices) Kill(ctx context.Context, name string, pid uint32) error {
	return m.life.step("KILL", func() error { return m.Services.Kill(ctx, name, pid) })
}

// live has one process of the agent run until it dies, or until it has had time for everything. The server delivers the task
// again and permits it, as it would.
func (b *bench) live(l *life, task *agentv1.Task) {
	whole, machine := b.journal, b.host
	defer func() { b.journal, b.host = whole, machine }()
	mortal := *machine
	mortal.Services = mortalServices{machine.Services, l}
	b.journal, b.host = mortalJournal{whole, l}, &mortal
	b.make()
	if err := b.runner.Recover(); err != nil {
		if !l.died() {
			b.t.Fatalf("recovery: %v", err)
		}
		return
	}
	b.run()
	if err := b.runner.Dispatch(b.t.Context(), &agentv1.Dispatch{Task: task}); err != nil && !l.died() {
		b.t.Fatal(err)
	}
	b.permit(task)
	time.Sleep(20 * time.Minute)
	if err := b.stop(); err != nil && !l.died() {
		b.t.Errorf("Run: %v", err)
	}
}

// crashCase is an action on a machine, with what may come of it whatever crash happens.
type crashCase struct {
	arrange func(b *bench)
	params  map[string]string
	// may lists the statuses that are true whatever happens.
	may []actionv1.TaskStatus
	// runs is how often it may begin to apply.
	runs int
	// hangs says that the service may stay between running and stopped for ever; the agent must then still be at it.
	hangs bool
	// twice has the agent die in the recovery too.
	twice bool
}

func crashCases() map[string]crashCase {
	repeatability := func(r actionv1.Repeatability) func(b *bench) {
		return func(b *bench) { b.plugins["restart"].action.Repeatability = r }
	}
	slow := hosttest.Script{StopDelay: 2 * time.Second, StartDelay: 2 * time.Second}
	return map[string]crashCase{
		"probe":      {may: []actionv1.TaskStatus{succeeded, failedStatus}, runs: 1, twice: true},
		"repeatable": {arrange: repeatability(actionv1.Repeatability_REPEATABILITY_REPEATABLE), may: []actionv1.TaskStatus{succeeded}, runs: 3, twice: true},
		"one-shot": {
			arrange: repeatability(actionv1.Repeatability_REPEATABILITY_ONE_SHOT),
			may:     []actionv1.TaskStatus{succeeded, failedStatus, unknownStatus}, runs: 1,
		},
		"slow service": {arrange: func(b *bench) { b.machine.Install(service, slow) }, may: []actionv1.TaskStatus{succeeded, failedStatus}, runs: 1},
		"fails to start once": {
			arrange: func(b *bench) { b.machine.Install(service, hosttest.Script{FailStarts: 1}) },
			may:     []actionv1.TaskStatus{succeeded, failedStatus, rollbackFailed}, runs: 1,
		},
		"fails to start often": {
			arrange: func(b *bench) { b.machine.Install(service, hosttest.Script{FailStarts: 5}) },
			may:     []actionv1.TaskStatus{succeeded, failedStatus, rollbackFailed}, runs: 1,
		},
		"hangs and is killed": {
			arrange: func(b *bench) { b.machine.Install(service, hosttest.Script{HangsOnStop: true}) },
			params:  map[string]string{"force": "true"}, may: []actionv1.TaskStatus{succeeded, failedStatus, rollbackFailed}, runs: 1, hangs: true, twice: true,
		},
	}
}

// TestCrashAnywhere kills the agent at each of its steps, before and after the step is done, and again at each step of the
// recovery where that may matter. In the end there is one started attempt, one result, and nothing is left stopped.
func TestCrashAnywhere(t *testing.T) {
	for name, tc := range crashCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			points := 0
			for first := 1; ; first++ {
				ended := false
				for _, after := range []bool{false, true} {
					for second := 1; ; second++ {
						points++
						one, two := &life{left: first, after: after}, &life{}
						if tc.twice {
							two.left, two.after = second, after
						}
						crashTwice(t, tc, one, two)
						ended = !one.dead
						if !two.dead || !tc.twice || t.Failed() {
							break
						}
					}
				}
				if ended || t.Failed() {
					break
				}
			}
			if points < 25 && !t.Failed() {
				t.Errorf("only %d points were tried: the steps are not seen", points)
			}
		})
	}
}

func crashTwice(t *testing.T, tc crashCase, one, two *life) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		if tc.arrange != nil {
			tc.arrange(b)
		}
		task := b.task("j", "restart")
		task.Params = tc.params
		task.Expires.Seconds += 24 * 3600
		last := &life{}
		for _, l := range []*life{one, two, last} {
			b.live(l, task)
		}
		b.checkCrash(tc)
		if t.Failed() {
			t.Logf("first life: %v\nsecond life: %v\nlast life: %v", one.did, two.did, last.did)
		}
	})
}

func (b *bench) checkCrash(tc crashCase) {
	b.t.Helper()
	recs, err := b.journal.OpenTasks()
	if err != nil || len(recs) != 1 || recs[0].GetState() != agentv1.TaskState_TASK_STATE_FINISHED {
		b.t.Fatalf("the journal has %v, %v; want one finished task", recs, err)
	}
	res := recs[0].GetResult()
	if !slices.Contains(tc.may, res.GetStatus()) {
		b.t.Errorf("status is %s (%s), want one of %v", res.GetStatus(), res.GetReason(), tc.may)
	}
	if told := b.server.results["j/1"]; !proto.Equal(told, res) {
		b.t.Errorf("the server was told %v, the journal has %v", told, res)
	}
	if n := b.plugins["restart"].begun(actionv1.Phase_PHASE_APPLY); n > tc.runs {
		b.t.Errorf("it was applied %d times, want at most %d", n, tc.runs)
	}
	if n := len(b.server.started); n > 1 {
		b.t.Errorf("started was reported %d times, want at most once", n)
	}
	if res.GetRuns() > maxRuns || res.GetRuns() == 0 {
		b.t.Errorf("it has %d runs, want 1 to %d", res.GetRuns(), maxRuns)
	}
	left, err := b.journal.Obligations()
	if err != nil {
		b.t.Fatal(err)
	}
	if tc.hangs && len(left) == 1 && b.machine.PID(service) != 0 {
		return
	}
	if len(left) > 0 {
		b.t.Errorf("obligations %v are left although there was time for them", left)
	}
	b.wantRunning()
}

// TestRecoveredResults: what a crash at one point means for each kind of action.
func TestRecoveredResults(t *testing.T) {
	for name, tc := range map[string]struct {
		repeatability actionv1.Repeatability
		arrange       func(task *agentv1.Task, p *fakePlugin)
		// at is the step after which the agent dies, and change what happens while it is dead.
		at      string
		change  func(b *bench)
		want    actionv1.TaskStatus
		applies int
		// effect is what the record of the first effect says.
		effect string
		// boot is the boot id if it is not the usual one.
		boot *string
	}{
		"probe between stop and start":         {at: "outcome stop", want: succeeded, applies: 1},
		"probe in the stop":                    {at: "STOP", want: succeeded, applies: 1},
		"probe before the stop":                {at: "intent stop", want: failedStatus, applies: 1, effect: "before it was done"},
		"probe before anything":                {at: "plan", want: failedStatus},
		"probe while it verifies":              {at: "enter verify", want: succeeded, applies: 1},
		"repeatable between stop and start":    {repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE, at: "outcome stop", want: succeeded, applies: 2},
		"repeatable before anything":           {repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE, at: "plan", want: succeeded, applies: 1},
		"one-shot between stop and start":      {repeatability: actionv1.Repeatability_REPEATABILITY_ONE_SHOT, at: "outcome stop", want: unknownStatus, applies: 1},
		"one-shot before anything":             {repeatability: actionv1.Repeatability_REPEATABILITY_ONE_SHOT, at: "plan", want: failedStatus},
		"started by hand while the agent died": {at: "STOP", change: func(b *bench) { b.machine.StartNow(service) }, want: succeeded, applies: 1},
		"disabled while the agent was dead": {
			at: "outcome stop", change: func(b *bench) { b.machine.Install(service, hosttest.Script{Disabled: true}) }, want: conflict, applies: 1,
		},
		"machine started again":         {at: "outcome stop", change: func(b *bench) { b.boot = "boot-2"; b.machine.Reboot() }, want: succeeded, applies: 1},
		"machine started in the middle": {at: "intent stop", change: func(b *bench) { b.boot = "boot-2"; b.machine.Reboot() }, want: succeeded, applies: 1, effect: "machine was started again"},
		"machine started in the middle, boots cannot be told apart": {
			boot: new(string), at: "intent stop", change: func(b *bench) { b.machine.Reboot() }, want: succeeded, applies: 1, effect: "machine was started again",
		},
		"machine started, service stays down for a while": {
			at: "outcome stop", want: succeeded, applies: 1,
			change: func(b *bench) {
				b.boot = "boot-2"
				time.AfterFunc(time.Minute, func() { b.machine.StartNow(service) })
			},
		},
		"plugin was taken away": {at: "outcome stop", change: func(b *bench) { delete(b.plugins, "restart") }, want: unknownStatus, applies: 1},
		"plugin does not launch any more": {
			at: "outcome stop", change: func(b *bench) { b.plugins["restart"].launchErr = errDied }, want: unknownStatus, applies: 1,
		},
		"nobody knows about the stop, and it does not hold": {
			at: "intent stop", want: unknownStatus, applies: 1, effect: "neither as before nor as wanted",
			change: func(b *bench) {
				b.machine.Crash(service, 1)
				b.machine.Install(service, hosttest.Script{DieAfter: 5 * time.Second})
				b.machine.StartNow(service)
			},
		},
		"dry run": {
			at: "plan", arrange: func(task *agentv1.Task, _ *fakePlugin) { task.DryRun = true }, want: succeeded,
		},
		"action that only reads": {
			repeatability: actionv1.Repeatability_REPEATABILITY_ONE_SHOT, at: "enter verify", want: succeeded, applies: 2,
			arrange: func(_ *agentv1.Task, p *fakePlugin) {
				p.action.ReadOnly = true
				p.plan = ask(query(serviceQuery(service)), ready())
				p.apply = ask(query(serviceQuery(service)), finishApplied(true, ""))
			},
		},
		"nothing was to be done": {
			at: "enter verify", want: noChange,
			arrange: func(_ *agentv1.Task, p *fakePlugin) {
				p.plan = ask(query(serviceQuery(service)), finishPlan(&actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_NO_CHANGE}))
			},
		},
		"repeatable, but too late": {
			repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE, at: "outcome stop",
			change: func(*bench) { time.Sleep(2 * time.Hour) }, want: failedStatus, applies: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				p := b.plugins["restart"]
				if tc.boot != nil {
					b.boot = *tc.boot
				}
				if tc.repeatability != 0 {
					p.action.Repeatability = tc.repeatability
				}
				task := b.task("j", "restart")
				if tc.arrange != nil {
					tc.arrange(task, p)
				}
				b.live(&life{left: stepsUntil(t, tc.at, tc.arrange), after: true}, task)
				if res := b.server.results["j/1"]; res != nil {
					t.Fatalf("there is a result %v before the recovery", res)
				}
				if tc.change != nil {
					tc.change(b)
				}
				b.start()
				res := b.result(task)
				b.wantStatus(res, tc.want)
				if !res.GetRecovered() {
					t.Error("the result does not say that the agent was restarted")
				}
				if n := p.begun(actionv1.Phase_PHASE_APPLY); n != tc.applies {
					t.Errorf("it was applied %d times, want %d", n, tc.applies)
				}
				if tc.effect != "" && !strings.Contains(res.GetEffects()[0].GetError(), tc.effect) {
					t.Errorf("the record of the first effect says %q, want %q", res.GetEffects()[0].GetError(), tc.effect)
				}
				if tc.want != conflict {
					b.wantRunning()
				}
				if err := b.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestServicesThatBootSlowly: after a start of the machine an interrupted task waits for its services, and nobody else does:
// the agent is ready for the server at once, and only who needs the same lock waits.
func TestServicesThatBootSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		other := newRestarter()
		other.action.Name, other.action.Resources = "look", []string{"other"}
		other.plan = func(context.Context, *actionv1.Start, Calls) (*actionv1.Finish, error) {
			return finishPlan(&actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_REFUSED, Reason: "no"}), nil
		}
		b.plugins["look"] = other
		first, same, apart := b.task("j", "restart"), b.task("same", "restart"), b.task("apart", "look")
		b.live(&life{left: stepsUntil(t, "outcome stop", nil), after: true}, first)
		b.boot = "boot-2"
		b.machine.Reboot()
		time.AfterFunc(time.Minute, func() { b.machine.StartNow(service) })
		begun := time.Now()
		b.start()
		for _, task := range []*agentv1.Task{same, apart} {
			b.dispatch(task)
			b.permit(task)
		}
		b.result(apart)
		if waited := time.Since(begun); waited > time.Second {
			t.Errorf("a task with other locks ended after %s: the whole agent waited for a service", waited)
		}
		b.result(first)
		if b.server.count(&b.server.started) != 2 {
			t.Errorf("%v have started, want j once and apart: the one with the same lock waits", b.server.started)
		}
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

// stepsUntil counts the steps of an undisturbed run up to and including one.
func stepsUntil(t *testing.T, step string, arrange func(*agentv1.Task, *fakePlugin)) int {
	t.Helper()
	practice := newBench(t)
	task := practice.task("j", "restart")
	if arrange != nil {
		arrange(task, practice.plugins["restart"])
	}
	l := &life{}
	practice.live(l, task)
	i := slices.Index(l.did, step)
	if i < 0 {
		t.Fatalf("a run has the steps %q, none is %q", l.did, step)
	}
	return i + 1
}

// TestRunsAreBounded: an agent that dies in each run gives up after the third.
func TestRunsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		p := b.plugins["restart"]
		p.action.Repeatability = actionv1.Repeatability_REPEATABILITY_REPEATABLE
		task := b.task("j", "restart")
		task.Expires.Seconds += 24 * 3600
		for range 5 {
			l := &life{}
			p.apply = func(ctx context.Context, start *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
				finish, err := applyRestart(ctx, start, calls)
				l.mu.Lock()
				l.dead = true
				l.mu.Unlock()
				return finish, err
			}
			b.live(l, task)
		}
		res := b.server.results["j/1"]
		b.wantStatus(res, failedStatus)
		if n := p.begun(actionv1.Phase_PHASE_APPLY); n != maxRuns || res.GetRuns() != maxRuns {
			t.Errorf("it was applied %d times, the result says %d; want %d", n, res.GetRuns(), maxRuns)
		}
		b.wantRunning()
	})
}

// TestObligation: a service that does not start is tried again and again, over a restart of the agent, at a bounded rate, and
// nobody else gets its lock in the middle of a try.
func TestObligation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		b.machine.Install(service, hosttest.Script{FailStarts: -1})
		b.wantStatus(b.do(b.task("j", "restart")), rollbackFailed)
		time.Sleep(time.Hour)
		tries := len(b.machine.Calls())
		if tries < 12 || tries > 30 {
			t.Errorf("%d tries in an hour, want one each 5 minutes after the first few", tries)
		}
		b.restart()
		time.Sleep(time.Minute)
		if n := len(b.machine.Calls()); n == tries {
			t.Error("no try after a restart of the agent")
		}
		b.machine.Install(service, hosttest.Script{})
		time.Sleep(6 * time.Minute)
		b.wantRunning()
		if left, _ := b.journal.Obligations(); len(left) != 0 {
			t.Errorf("obligations are %v, want none when the service runs", left)
		}
		calls := len(b.machine.Calls())
		time.Sleep(24 * time.Hour)
		if n := len(b.machine.Calls()); n != calls {
			t.Errorf("%d calls after the obligation had ended, want none", n-calls)
		}
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestObligationYieldsToSomebodysDecision: a service that was disabled or removed is not fought over.
func TestObligationYieldsToSomebodysDecision(t *testing.T) {
	for name, decide := range map[string]func(m *hosttest.Memory){
		"disabled": func(m *hosttest.Memory) { m.Install(service, hosttest.Script{Disabled: true}) },
		"removed":  func(m *hosttest.Memory) { m.Uninstall(service) },
		"started":  func(m *hosttest.Memory) { m.StartNow(service) },
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				b.machine.Install(service, hosttest.Script{FailStarts: -1})
				b.wantStatus(b.do(b.task("j", "restart")), rollbackFailed)
				decide(b.machine)
				time.Sleep(10 * time.Minute)
				if left, _ := b.journal.Obligations(); len(left) != 0 {
					t.Errorf("obligations are %v, want none", left)
				}
			})
		})
	}
}

// TestJournalThatCannotBeWritten: without a journal nothing is begun, what was stopped is put back, and Run says so, so that
// the agent ends.
func TestJournalThatCannotBeWritten(t *testing.T) {
	for _, step := range []string{"start", "plan", "intent stop", "outcome stop", "intent start", "outcome start", "enter verify", "finish"} {
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				whole := b.journal
				b.journal = fullJournal{mortalJournal{whole, &life{left: stepsUntil(t, step, nil) - deedsBefore(step)}}}
				b.start()
				task := b.task("j", "restart")
				b.dispatch(task)
				b.permit(task)
				time.Sleep(5 * time.Minute)
				if err := b.stop(); !errors.Is(err, errCrashed) {
					t.Errorf("Run ended with %v, want the journal's error", err)
				}
				b.wantRunning()
				if err := b.runner.Dispatch(t.Context(), &agentv1.Dispatch{Task: b.task("j2", "restart")}); err == nil {
					t.Error("another task was taken in without a journal")
				}
				if b.server.results["j/1"] != nil {
					t.Error("a result was reported that is not in the journal")
				}
				b.journal = whole
				b.start()
				b.permit(task)
				b.result(task)
				if err := b.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// fullJournal is a journal on a full disk.
type fullJournal struct{ mortalJournal }

// deedsBefore counts the deeds on the machine, which are steps too, before a step.
func deedsBefore(step string) int {
	switch step {
	case "outcome stop", "intent start":
		return 1
	case "outcome start", "enter verify", "finish":
		return 2
	}
	return 0
}
