package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// asked is a job that the client asked for.
type asked struct {
	tag, kind string
	targets   []string

	// needsApproval says that somebody else must approve it.
	needsApproval bool
	// approving is when its approval was asked for, and approved says that the server has acknowledged that. Whoever asks sets
	// them; they are read when all calls have ended.
	approving time.Time
	approved  bool

	mu sync.Mutex
	// id is set when the server has acknowledged the job.
	id string
}

func (a *asked) acknowledged() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.id
}

// ledger is what the client has noted of a fleet, and how it is compared with what the fleet says.
type ledger struct {
	t   *testing.T
	api *client.Client
	// approver is another operator's way to the server, nil when nothing needs approval.
	approver *client.Client
	// approvals counts those that the server has acknowledged.
	approvals atomic.Int32
	records   string
	jobs      []*asked
	// told is each result as it was first read, by job and terminal.
	told     map[string]*fleetv1.Task
	statuses map[actionv1.TaskStatus]int
	// interrupted counts the tasks whose agent was killed while they ran.
	interrupted int
}

// create asks for a job until it is acknowledged. No limit and no wave is to hold anything back: what fails here fails of a fault.
func (l *ledger) create(a *asked) {
	ctx, cancel := context.WithTimeout(context.Background(), longEnough)
	defer cancel()
	approvals := uint32(0)
	if a.needsApproval {
		approvals = 1
	}
	all := &fleetv1.Amount{Amount: &fleetv1.Amount_Percent{Percent: 100}}
	job, err := l.api.CreateJob(ctx, &fleetv1.CreateJobRequest{
		RequestId: strings.ToLower(ulid.Make().String()),
		Spec: &fleetv1.JobSpec{
			Action: "fault-" + a.kind, Params: map[string]string{"tag": a.tag, "record": l.records},
			Selection: &fleetv1.Selection{Terminals: a.targets}, InUse: fleetv1.InUse_IN_USE_PROCEED, Approvals: approvals,
			Rollout: &fleetv1.Rollout{
				Waves: []*fleetv1.Amount{all}, MaxConcurrent: all, OnLimit: fleetv1.LimitAction_LIMIT_ACTION_CONTINUE,
			},
		},
	}, func(error) {})
	if err != nil {
		l.t.Errorf("%s was not acknowledged within %v: %v", a.tag, longEnough, err)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.id = job.GetId()
}

// approve approves a job that needs it, unless it is over by then.
func (l *ledger) approve(a *asked) {
	id := a.acknowledged()
	if !a.needsApproval || id == "" {
		return
	}
	l.insist("approve "+id, func(ctx context.Context) error {
		seen, err := l.approver.Jobs.GetJob(ctx, &fleetv1.GetJobRequest{Id: id})
		if err != nil {
			return err
		}
		if a.approving.IsZero() {
			a.approving = time.Now()
		}
		_, err = l.approver.Jobs.ApproveJob(ctx, &fleetv1.ApproveJobRequest{Id: id, Digest: seen.GetJob().GetApproval().GetDigest()})
		if err == nil {
			a.approved = true
			l.approvals.Add(1)
		}
		return unlessOver(err)
	})
}

// unlessOver takes the refusal of a job that is done or cancelled for an answer.
func unlessOver(err error) error {
	if exit.Is(err, exit.BadInput) {
		return nil
	}
	return err
}

// insist makes a call until the server has answered it.
func (l *ledger) insist(what string, call func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), longEnough)
	defer cancel()
	for {
		err := call(ctx)
		if err == nil {
			return
		}
		if !exit.Is(err, exit.Unreachable) || ctx.Err() != nil {
			l.t.Errorf("%s: %v", what, err)
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// awaitDone waits until every job is done: convergence.
func (l *ledger) awaitDone() {
	l.t.Helper()
	deadline := time.Now().Add(longEnough)
	for {
		open := l.open()
		if open == "" {
			return
		}
		if time.Now().After(deadline) {
			l.t.Errorf("%v after everything was mended there are still: %s", longEnough, open)
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// open says which job is not done, and why as far as the server tells.
func (l *ledger) open() string {
	for _, a := range l.jobs {
		got, err := l.api.Jobs.GetJob(context.Background(), &fleetv1.GetJobRequest{Id: a.acknowledged()})
		if err != nil {
			return fmt.Sprintf("%s: %v", a.tag, err)
		}
		if got.GetJob().GetState() != fleetv1.JobState_JOB_STATE_DONE {
			return fmt.Sprintf("%s (%s): %v %v", a.tag, a.id, got.GetJob().GetState(), got.GetJob().GetCounts())
		}
	}
	return ""
}

// check compares every task of every job with what is known of it from elsewhere.
func (l *ledger) check(members []*member) {
	l.t.Helper()
	l.statuses, l.interrupted = make(map[actionv1.TaskStatus]int), 0
	if l.told == nil {
		l.told = make(map[string]*fleetv1.Task)
	}
	l.checkNoStrangers()
	machines := make(map[string]*machineRecord)
	for _, m := range members {
		machines[m.name] = l.readMachine(m.agent)
	}
	for _, a := range l.jobs {
		tasks, err := l.api.Tasks(context.Background(), a.id, "")
		if err != nil {
			l.t.Errorf("%s: %v", a.tag, err)
			continue
		}
		l.checkTargets(a, tasks)
		l.checkApproval(a, machines)
		for _, task := range tasks {
			l.checkTask(a, task, machines[task.GetTerminalName()])
		}
	}
}

// checkNoStrangers: a request that was made again and again made one job.
func (l *ledger) checkNoStrangers() {
	l.t.Helper()
	list, err := l.api.Jobs.ListJobs(context.Background(), &fleetv1.ListJobsRequest{PageSize: 1000})
	if err != nil {
		l.t.Error(err)
		return
	}
	if len(list.GetJobs()) != len(l.jobs) {
		l.t.Errorf("the server has %d jobs, %d were asked for", len(list.GetJobs()), len(l.jobs))
	}
}

// checkTargets: every target is accounted for.
func (l *ledger) checkTargets(a *asked, tasks []*fleetv1.Task) {
	l.t.Helper()
	var got []string
	for _, task := range tasks {
		got = append(got, task.GetTerminalName())
	}
	slices.Sort(got)
	if !slices.Equal(got, a.targets) {
		l.t.Errorf("%s has tasks of %v, want of %v", a.tag, got, a.targets)
	}
}

// checkApproval: an approval that was acknowledged is there, and nothing began before it was asked for.
func (l *ledger) checkApproval(a *asked, machines map[string]*machineRecord) {
	l.t.Helper()
	if !a.needsApproval {
		return
	}
	got, err := l.api.Jobs.GetJob(context.Background(), &fleetv1.GetJobRequest{Id: a.id})
	if given := got.GetJob().GetApproval().GetApprovals(); err != nil || a.approved && len(given) != 1 {
		l.t.Errorf("%s (%s): approvals %v, %v; the server has acknowledged one", a.tag, a.id, given, err)
	}
	for name, m := range machines {
		for _, at := range m.begun[a.tag] {
			if a.approving.IsZero() || at.Before(a.approving) {
				l.t.Errorf("%s was begun on %s at %v, before anybody approved it (%v)", a.tag, name, at, a.approving)
			}
		}
	}
}

// neverBegan are the statuses that say that nothing was done.
func neverBegan(s actionv1.TaskStatus) bool {
	return s == cancelled || s == actionv1.TaskStatus_TASK_STATUS_EXPIRED || s == actionv1.TaskStatus_TASK_STATUS_REFUSED
}

func (l *ledger) checkTask(a *asked, task *fleetv1.Task, m *machineRecord) {
	l.t.Helper()
	name := fmt.Sprintf("%s, %s on %s: %v (%s)", a.tag, a.kind, task.GetTerminalName(), task.GetStatus(), task.GetResult().GetReason())
	l.statuses[task.GetStatus()]++
	if task.GetResult().GetRecovered() {
		l.interrupted++
	}
	begun := m.begun[a.tag]
	if task.GetState() != fleetv1.TaskState_TASK_STATE_DONE || task.GetResult() == nil || task.GetAttempt() != 1 {
		l.t.Errorf("%s: state %v, attempt %d, result %v; want the one result of the first attempt", name, task.GetState(), task.GetAttempt(), task.GetResult())
	}
	if most := map[string]int{"one-shot": 1, "probe": 1, "repeatable": 3}[a.kind]; len(begun) > most {
		l.t.Errorf("%s: was begun %d times, want at most %d: %v", name, len(begun), most, begun)
	}
	if neverBegan(task.GetStatus()) && len(begun) > 0 {
		l.t.Errorf("%s: was begun at %v, which its result denies", name, begun)
	}
	if task.GetStatus() == succeeded && !m.startedWithin(begun, task.GetResult().GetFinished().AsTime()) {
		l.t.Errorf("%s: begun at %v and finished at %v, and the machine started no service in that time: %v", name, begun, task.GetResult().GetFinished().AsTime(), m.starts)
	}
	l.checkStays(name, a.id+" "+task.GetTerminalName(), task)
}

// checkStays: what was once told as a result is the result.
func (l *ledger) checkStays(name, key string, task *fleetv1.Task) {
	l.t.Helper()
	before := l.told[key]
	if before == nil {
		l.told[key] = task
		return
	}
	if before.GetStatus() != task.GetStatus() || !before.GetFinished().AsTime().Equal(task.GetFinished().AsTime()) {
		l.t.Errorf("%s: was %v (%s) before: a result that was told is final", name, before.GetStatus(), before.GetResult().GetReason())
	}
}

// machineRecord is what a machine and its actions have written themselves.
type machineRecord struct {
	// begun are the times at which each job's action began, by tag.
	begun map[string][]time.Time
	// starts are the times at which the endpoint was started.
	starts []time.Time
}

// startedWithin says whether the service was started between one of some times and an end.
func (m *machineRecord) startedWithin(from []time.Time, to time.Time) bool {
	return slices.ContainsFunc(m.starts, func(start time.Time) bool {
		return start.Before(to) && slices.ContainsFunc(from, func(begun time.Time) bool { return !start.Before(begun) })
	})
}

// readMachine reads a machine's records, and checks that its service runs.
func (l *ledger) readMachine(a *agent) *machineRecord {
	l.t.Helper()
	wantRunning(l.t, a)
	m := &machineRecord{begun: make(map[string][]time.Time), starts: a.starts()}
	content, err := os.ReadFile(filepath.Join(l.records, a.name))
	if err != nil && !os.IsNotExist(err) {
		l.t.Error(err)
	}
	for line := range strings.Lines(string(content)) {
		tag, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			l.t.Errorf("the action's record on %s: %v", a.name, err)
		}
		m.begun[tag] = append(m.begun[tag], at)
	}
	return m
}

// checkAtRest stops the server and checks its store from end to end: each result is in the audit once.
func (c *campaign) checkAtRest() {
	c.t.Helper()
	c.fleet.server.signal(os.Interrupt)
	c.fleet.server.awaitExit()
	mustRun(c.t, program("fleetd"), "check", "--data-dir", c.fleet.dataDir)
	changes := auditedChanges(c.t, c.fleet.dataDir)
	for key, task := range c.told {
		name := fmt.Sprintf("task/%s/%s/1", task.GetJobId(), task.GetTerminalId())
		if changes[name] != 1 {
			c.t.Errorf("%s (%s): %d audit records of its result, want 1", key, name, changes[name])
		}
	}
}
