package runnertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/runner"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// Case is an action in whose middle the agent dies.
type Case struct {
	Action sdk.Action
	Params map[string]string
	// Setup may have anything but Plugins.
	Setup Setup
	// May lists the statuses that are true whatever happens; empty means what the action's repeatability promises: of a repeatable one
	// the status of an undisturbed run, else also FAILED and ROLLED_BACK, of a one-shot one also UNKNOWN.
	May []actionv1.TaskStatus
	// ToLeaseEnd has time go on after the result until no lease is left: the agent dies at each step of putting back, too.
	ToLeaseEnd bool
	// Twice has the agent die at each step of the recovery, too.
	Twice bool
	// Check looks at the machine in the end, beside what is looked at anyway; nil for nothing.
	Check func(t *testing.T, m *hosttest.Memory, res *actionv1.TaskResult)
}

// Crash kills the agent at each of its steps (each write to its journal, each change of the machine), starts it again, and fails the test
// unless in the end there is one result, the action was begun as often as it may, nothing is left stopped, each resource with an exact
// inverse is as before or as an undisturbed run leaves it, and the status is one that may be. A plan's effects name what is looked at.
func Crash(t *testing.T, c Case) {
	t.Helper()
	undisturbed := c.practice(t)
	if t.Failed() {
		return
	}
	if len(c.May) == 0 {
		c.May = mayEnd(c.Action.Manifest(), undisturbed.status)
	}
	for first := 1; first <= undisturbed.steps && !t.Failed(); first++ {
		c.dieAt(t, undisturbed, first, 0)
		for second := 1; c.Twice && !t.Failed(); second++ {
			if died := c.dieAt(t, undisturbed, first, second); !died {
				break
			}
		}
	}
}

func mayEnd(a *actionv1.Action, status actionv1.TaskStatus) []actionv1.TaskStatus {
	may := []actionv1.TaskStatus{status}
	switch {
	case a.GetReadOnly() || a.GetRepeatability() == actionv1.Repeatability_REPEATABILITY_REPEATABLE:
		return may
	case a.GetRepeatability() == actionv1.Repeatability_REPEATABILITY_ONE_SHOT:
		may = append(may, actionv1.TaskStatus_TASK_STATUS_UNKNOWN)
	}
	return append(may, actionv1.TaskStatus_TASK_STATUS_FAILED, actionv1.TaskStatus_TASK_STATUS_ROLLED_BACK)
}

// undisturbed is what a run without a crash comes to.
type undisturbed struct {
	status        actionv1.TaskStatus
	steps         int
	effects       []*actionv1.Effect
	before, after map[string]*actionv1.State
}

// practice runs the action once without a crash.
func (c Case) practice(t *testing.T) (u undisturbed) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := c.bench(t)
		defer b.close()
		probe := c.bench(t) // another machine like it, as it is before
		defer probe.close()
		did := b.liveOn(b.task(c.Action.Manifest().GetName(), c.Params))
		res := b.server.result("j-1")
		for _, e := range res.GetPlan().GetEffects() {
			u.effects = append(u.effects, e.GetEffect())
		}
		u.status, u.steps = res.GetStatus(), len(did)
		u.before, u.after = probe.states(u.effects), b.states(u.effects)
		t.Logf("an undisturbed run is %s after the steps %s", u.status, strings.Join(did, ", "))
	})
	return u
}

// liveOn has the agent run, again after each start of the machine, until the task has its result, and returns the steps.
func (b *Bench) liveOn(task *agentv1.Task) (did []string) {
	b.T.Helper()
	for {
		l := newLife(0)
		end := b.live(l, task)
		did = append(did, l.did...)
		switch end {
		case answered:
			return did
		case killed:
			b.T.Fatalf("an undisturbed run ended %v, want a result", end)
		}
	}
}

func (c Case) bench(t *testing.T) *Bench {
	s := c.Setup
	s.Plugins = Actions(c.Action)
	b := newBench(t, s)
	b.toLeaseEnd = c.ToLeaseEnd
	return b
}

// dieAt has the agent die at a step, and at another one of the process after it when that is not 0. It says whether the second death came.
func (c Case) dieAt(t *testing.T, u undisturbed, first, second int) (died bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := c.bench(t)
		defer b.close()
		task := b.task(c.Action.Manifest().GetName(), c.Params)
		lives := []int{first, second}
		var did []string
		for range 8 {
			l := newLife(lives[0])
			end := b.live(l, task)
			did = append(did, fmt.Sprintf("%s (%s)", strings.Join(l.did, ", "), end))
			if end == answered {
				break
			}
			switch {
			case end == rebooted:
				lives[0] = l.left
			case len(lives) == 1:
				died = died || second > 0
				lives[0] = 0
			default:
				lives = lives[1:]
			}
		}
		b.check(c, u)
		if t.Failed() {
			t.Logf("died at step %d and then at %d (0 is never): %s", first, second, strings.Join(did, "; then "))
		}
	})
	return died
}

// end is how a life ended.
type end string

const (
	answered end = "with a result"
	killed   end = "by death"
	rebooted end = "by a start of the machine"
)

// live has one process of the agent run until it dies, the machine is started again, or the task has its result and nothing is left to
// be put right. The server delivers the task again and permits it, as it would.
func (b *Bench) live(l *life, task *agentv1.Task) end {
	b.T.Helper()
	defer b.Machine.Guard(nil)
	err := b.begin(l)
	if err == nil {
		defer func() { <-b.ended }() //nolint:errcheck // it was to die
		defer b.cancel()
		err = b.deliver(task)
	}
	for until := time.Now().Add(patience); time.Now().Before(until); b.wait() {
		switch {
		case isOver(l):
			return killed
		case err != nil:
			b.T.Fatalf("the agent did not take the task: %v", err)
		case b.bootID() != b.boot:
			return rebooted
		case b.server.result(task.GetKey().GetJobId()) != nil && b.leasesEnded() && b.atEase(time.Now().Add(time.Hour)):
			return answered
		}
	}
	b.T.Fatalf("no result after %s", patience)
	return killed
}

func isOver(l *life) bool {
	select {
	case <-l.over:
		return true
	default:
		return false
	}
}

// atEase waits until nothing is left that the agent still tries to put right.
func (b *Bench) atEase(until time.Time) bool {
	for time.Now().Before(until) {
		if left, err := b.Journal.Obligations(); err != nil || len(left) == 0 {
			return err == nil
		}
		time.Sleep(lookEvery)
	}
	return true
}

// leasesEnded says whether no lease is waited for any more.
func (b *Bench) leasesEnded() bool {
	if !b.toLeaseEnd {
		return true
	}
	left, err := b.Journal.Leases()
	if err != nil {
		b.T.Fatal(err)
	}
	return !slices.ContainsFunc(left, func(l *storagev1.JournalLease) bool { return l.GetEnded() == nil })
}

// checkNews wants the journal to hold the end of each lease as news, however often the agent has died: the server has acknowledged none.
func (b *Bench) checkNews(res *actionv1.TaskResult) {
	b.T.Helper()
	news, err := b.Runner.LeaseNews()
	if err != nil || len(news) != len(res.GetLeases()) {
		b.T.Errorf("the news of leases is %v, %v; want the end of each of %v", news, err, res.GetLeases())
	}
	for _, n := range news {
		if l := n.GetLease(); !l.GetEnded() || l.GetEndedAt() == nil || l.GetOutcome() != "" || l.GetTries() == 0 {
			b.T.Errorf("the news of a lease is %v, want that all was put back", l)
		}
	}
}

// states reads what effects touch, by name.
func (b *Bench) states(effects []*actionv1.Effect) map[string]*actionv1.State {
	states := map[string]*actionv1.State{}
	for _, e := range effects {
		if e.GetConfirm() != nil {
			continue
		}
		r, err := runner.Inspect(context.Background(), b.Host(), e)
		if err != nil {
			b.T.Fatalf("effect %v: what it touches cannot be read: %v", e, err)
		}
		if r.Inverse == actionv1.Inverse_INVERSE_EXACT || r.State.GetService() != nil {
			states[r.Name] = r.State
		}
	}
	return states
}

// check holds the end to what must be true of every end.
func (b *Bench) check(c Case, u undisturbed) {
	b.T.Helper()
	res := b.oneResult()
	if res == nil {
		return
	}
	if !slices.Contains(c.May, res.GetStatus()) {
		b.T.Errorf("status is %s (%s), want one of %v", res.GetStatus(), res.GetReason(), c.May)
	}
	b.checkRuns(c.Action.Manifest(), res)
	b.checkStates(u, res.GetStatus())
	if left, err := b.Journal.Obligations(); err != nil || len(left) > 0 {
		b.T.Errorf("obligations %v are left (%v) although there was time for them", left, err)
	}
	if c.ToLeaseEnd {
		b.checkNews(res)
	}
	if c.Check != nil {
		c.Check(b.T, b.Machine, res)
	}
}

func (b *Bench) oneResult() *actionv1.TaskResult {
	b.T.Helper()
	recs, err := b.Journal.OpenTasks()
	if err != nil || len(recs) != 1 || recs[0].GetState() != agentv1.TaskState_TASK_STATE_FINISHED {
		b.T.Errorf("the journal has %v, %v; want one finished task", summary(recs), err)
		return nil
	}
	return recs[0].GetResult()
}

func summary(recs []*storagev1.JournalTask) (lines []string) {
	for _, r := range recs {
		lines = append(lines, fmt.Sprintf("%s %s", r.GetTask().GetKey().GetJobId(), r.GetState()))
	}
	return lines
}

// maxRuns is how often a repeatable action may be begun.
const maxRuns = 3

func (b *Bench) checkRuns(a *actionv1.Action, res *actionv1.TaskResult) {
	b.T.Helper()
	most := 1
	if a.GetReadOnly() || a.GetRepeatability() == actionv1.Repeatability_REPEATABILITY_REPEATABLE {
		most = maxRuns
	}
	if n := b.setup.Plugins.(*inProcess).applied(); n > most {
		b.T.Errorf("it was applied %d times, want at most %d", n, most)
	}
	if n := b.server.started["j-1"]; n > 1 {
		b.T.Errorf("its start was told %d times, want at most once", n)
	}
	if res.GetRuns() > uint32(most) || res.GetRuns() == 0 {
		b.T.Errorf("the result has %d runs, want 1 to %d", res.GetRuns(), most)
	}
}

// checkStates wants each exact resource as before or as wanted, as the status says, and each service that ran to run.
func (b *Bench) checkStates(u undisturbed, status actionv1.TaskStatus) {
	b.T.Helper()
	good := status == actionv1.TaskStatus_TASK_STATUS_SUCCEEDED || status == actionv1.TaskStatus_TASK_STATUS_NO_CHANGE
	for name, now := range b.states(u.effects) {
		before, after := u.before[name], u.after[name]
		switch {
		case now.GetService() != nil:
			ran := before.GetService().GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_RUNNING
			if ran && now.GetService().GetStatus() != actionv1.ServiceStatus_SERVICE_STATUS_RUNNING {
				b.T.Errorf("%s is %s in the end, want it to run: it did before", name, now.GetService().GetStatus())
			}
		case good && !runner.Same(now, after):
			b.T.Errorf("%s is %v in the end, want %v: the result is %s", name, now, after, status)
		case status == actionv1.TaskStatus_TASK_STATUS_ROLLED_BACK && !runner.Same(now, before):
			b.T.Errorf("%s is %v in the end, want %v as before: the result is %s", name, now, before, status)
		case !runner.Same(now, before) && !runner.Same(now, after):
			b.T.Errorf("%s is %v in the end, want it as before (%v) or as wanted (%v)", name, now, before, after)
		}
	}
}
