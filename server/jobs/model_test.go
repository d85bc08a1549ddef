package jobs

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// model plays agents that keep their journals as real ones do, through cut connections and restarts of the server.
type model struct {
	*rig
	rt     *rapid.T
	agents []*agentModel
	jobs   []*fleetv1.Job
	// starts counts how often each attempt was started, over all agents.
	starts map[string]int
	// broken is true while the server's disk takes no writes.
	broken bool
	// worked is which terminals worked at the end of the last step, and seen how much of what was sent to each it saw.
	worked map[string]bool
	seen   map[string]int
	faults []string
	// given are the approvals of each job, as they were answered.
	given map[string][]*fleetv1.Approval
}

type agentModel struct {
	index  int
	online bool
	// id is the journal's. What was started in one that was lost is unknown for good.
	id      string
	lost    map[string]bool
	journal map[string]agentv1.TaskState
	// results are those of tasks that are FINISHED in the journal.
	results map[string]actionv1.TaskStatus
	// permits are valid until then, on the current session only.
	permits map[string]time.Time
	// outcomes are what came of what it ran.
	outcomes map[string]actionv1.TaskStatus
	// plugin is the hash of the one that it has, and approved that of the one that each task may run; empty when any may.
	plugin   string
	approved map[string]string
}

func (m *model) job(id string) *fleetv1.Job { return &fleetv1.Job{Id: id} }

// hear takes in what the server has sent.
func (m *model) hear(a *agentModel) {
	m.wire.mu.Lock()
	sent := m.wire.sent[terminalID(a.index)]
	m.wire.sent[terminalID(a.index)] = nil
	m.seen[terminalID(a.index)] = 0
	m.wire.mu.Unlock()
	for _, s := range sent {
		switch {
		case s.GetDispatch() != nil:
			id := s.GetDispatch().GetTask().GetKey().GetJobId()
			if a.journal[id] == 0 {
				a.journal[id] = accepted
			}
			a.permits[id] = time.Now().Add(s.GetDispatch().GetPermitValidFor().AsDuration())
			a.approved[id] = s.GetDispatch().GetTask().GetPluginSha256()
		case s.GetPermit() != nil:
			a.permits[s.GetPermit().GetKey().GetJobId()] = time.Now().Add(s.GetPermit().GetValidFor().AsDuration())
		case s.GetHold() != nil:
			if id := s.GetHold().GetKey().GetJobId(); a.journal[id] == accepted {
				delete(a.permits, id)
				m.request(a, id, agentv1.HoldReason_HOLD_REASON_HELD)
			}
		case s.GetCancel() != nil:
			if id := s.GetCancel().GetKey().GetJobId(); a.journal[id] == accepted {
				delete(a.permits, id)
				a.journal[id], a.results[id] = agentv1.TaskState_TASK_STATE_FINISHED, cancelled
				m.report(a, id)
			}
		}
	}
}

// report sends a result. It stays in the journal until it is acknowledged, which a broken disk prevents.
func (m *model) report(a *agentModel, id string) {
	switch err := m.result(a.index, m.job(id), a.results[id]); {
	case err == nil:
		delete(a.journal, id)
		delete(a.results, id)
	case !m.broken:
		m.rt.Fatalf("a result was not acknowledged: %v", err)
	}
}

func (m *model) in(a *agentModel, states ...agentv1.TaskState) []string {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(a.journal)) {
		if slices.Contains(states, a.journal[id]) {
			ids = append(ids, id)
		}
	}
	return ids
}

// work starts what may start.
func (m *model) work(a *agentModel) {
	for _, id := range m.in(a, accepted) {
		switch {
		case !time.Now().Before(a.permits[id]):
			continue
		case !time.Now().Before(m.now(m.job(id)).GetExpires().AsTime()):
			// The agent looks at that itself.
			a.journal[id], a.results[id] = agentv1.TaskState_TASK_STATE_FINISHED, expired
			m.report(a, id)
			continue
		}
		m.mayStart(a, id)
		if want := a.approved[id]; want != "" && want != a.plugin {
			a.journal[id], a.results[id] = agentv1.TaskState_TASK_STATE_FINISHED, refused
			m.report(a, id)
			continue
		}
		a.journal[id] = started
		m.starts[fmt.Sprint(a.index, id)]++
		if err := m.engine.Started(m.t.Context(), terminalID(a.index), &agentv1.Started{Key: key(m.job(id))}); err != nil {
			m.rt.Fatal(err)
		}
	}
	synctest.Wait()
}

// finish ends what runs, and sends what was not acknowledged.
func (m *model) finish(a *agentModel, status actionv1.TaskStatus) {
	for _, id := range m.in(a, started) {
		a.journal[id], a.results[id], a.outcomes[id] = agentv1.TaskState_TASK_STATE_FINISHED, status, status
	}
	if a.online {
		m.reportAll(a)
	}
}

func (m *model) reportAll(a *agentModel) {
	for _, id := range m.in(a, agentv1.TaskState_TASK_STATE_FINISHED) {
		m.report(a, id)
	}
}

// ask asks again for permits that ran out.
func (m *model) ask(a *agentModel) {
	for _, id := range m.in(a, accepted) {
		if until, had := a.permits[id]; had && !time.Now().Before(until) {
			m.request(a, id, agentv1.HoldReason_HOLD_REASON_LOCK)
		}
	}
	synctest.Wait()
}

func (m *model) request(a *agentModel, id string, why agentv1.HoldReason) {
	r := &agentv1.PermitRequest{Key: key(m.job(id)), Reason: why}
	if why == agentv1.HoldReason_HOLD_REASON_LOCK {
		r.WaitedFor = "ble"
	}
	if err := m.engine.PermitRequested(m.t.Context(), terminalID(a.index), r); err != nil {
		m.rt.Fatal(err)
	}
}

// join opens a session. As in a real one the plugins are told first, and a server that cannot note them lets nobody in.
func (m *model) join(a *agentModel) {
	before := m.fleet.terminals[a.index].PluginSha256
	m.fleet.terminals[a.index].PluginSha256 = []string{a.plugin}
	if err := m.engine.PluginsSeen(m.t.Context(), terminalID(a.index), []string{a.plugin}); err != nil {
		if !m.broken {
			m.rt.Fatal(err)
		}
		m.fleet.terminals[a.index].PluginSha256 = before
		return
	}
	var list []*agentv1.OpenTask
	for _, id := range m.in(a, accepted, started, agentv1.TaskState_TASK_STATE_FINISHED) {
		list = append(list, open(m.job(id), a.journal[id]))
	}
	a.online = true
	clear(a.permits)
	m.reconnect(a.index, a.id, list...)
	m.reportAll(a)
}

func (m *model) drop(a *agentModel) {
	a.online = false
	m.disconnect(a.index)
	m.wire.take(terminalID(a.index))
	m.seen[terminalID(a.index)] = 0
	clear(a.permits)
}

// lose takes the agent's journal away, as a new disk does.
func (m *model) lose(a *agentModel) {
	for id := range a.journal {
		a.lost[id] = true
	}
	a.id += "'"
	clear(a.journal)
	clear(a.results)
}

func (m *model) step() {
	a := m.agents[rapid.IntRange(0, len(m.agents)-1).Draw(m.rt, "agent")]
	if a.online {
		m.hear(a)
	}
	switch rapid.SampledFrom([]string{"create", "flip", "work", "work", "finish", "fail", "ask", "wait", "cancel", "pause", "resume", "site", "facts", "break", "heal", "restart", "lose", "approve", "approve", "plugin", "retry"}).Draw(m.rt, "step") {
	case "create":
		asked := m.rollout()
		job, err := m.tryCreate(func(q *fleetv1.CreateJobRequest) {
			q.Spec.Rollout, q.Spec.ExpiresIn = asked, durationpb.New(5*time.Minute)
			q.Spec.DryRun = rapid.IntRange(0, 4).Draw(m.rt, "dry") == 0
			q.Spec.Approvals = rapid.SampledFrom([]uint32{0, 0, 0, 1, 2}).Draw(m.rt, "approvals")
			if rapid.IntRange(0, 4).Draw(m.rt, "later") == 0 {
				q.Spec.NotBefore = timestamppb.New(time.Now().Add(time.Minute))
			}
		})
		if (err != nil) != m.broken {
			m.rt.Fatalf("creation on a disk that is broken=%t: %v", m.broken, err)
		}
		if err == nil {
			m.jobs = append(m.jobs, job)
		}
	case "flip":
		if a.online {
			m.drop(a)
		} else {
			m.join(a)
		}
	case "work":
		if a.online {
			m.work(a)
		}
	case "finish":
		m.finish(a, succeeded)
	case "fail":
		m.finish(a, failed)
	case "ask":
		if a.online {
			m.ask(a)
		}
	case "wait":
		time.Sleep(rapid.SampledFrom([]time.Duration{time.Second, 31 * time.Second, 4 * time.Minute}).Draw(m.rt, "wait"))
	case "cancel":
		if len(m.jobs) > 0 {
			job := m.jobs[rapid.IntRange(0, len(m.jobs)-1).Draw(m.rt, "job")]
			if _, err := m.engine.Cancel(m.t.Context(), admin(), job.GetId(), ""); err != nil && !m.broken {
				m.rt.Fatal(err)
			}
		}
	case "pause":
		m.order((*Engine).Pause)
	case "resume":
		m.order((*Engine).Resume)
	case "site":
		m.setSite()
	case "facts":
		if a.online {
			m.facts(a.index, rapid.Bool().Draw(m.rt, "well"))
		}
	case "break":
		// From here to the restart is what a crash leaves undone.
		m.broken = true
		m.disk.set(true)
	case "heal":
		m.heal()
	case "lose":
		if !a.online {
			m.lose(a)
		}
	case "approve":
		m.approve()
	case "plugin":
		if !a.online {
			a.plugin = map[string]string{"aa": "bb", "bb": "aa"}[a.plugin]
		}
	case "retry":
		m.retry()
	case "restart":
		m.reboot()
	}
	synctest.Wait()
	m.check()
}

// reboot kills the server and starts it anew. What it knew of its jobs is what its disk holds.
func (m *model) reboot() {
	before := m.rollouts()
	sound := !m.broken
	m.broken = false
	m.restart()
	clear(m.seen)
	for _, a := range m.agents {
		a.online = false
		clear(a.permits)
	}
	synctest.Wait()
	if after := m.rollouts(); sound && before != after {
		m.rt.Fatalf("before a restart the rollouts stood at\n%s\nand after it at\n%s", before, after)
	}
}

// heal mends the disk, and lets the engine notice.
func (m *model) heal() {
	m.broken = false
	m.disk.set(false)
	time.Sleep(2 * retryAfter)
	synctest.Wait()
}

// settleAll lets every agent come back and end what it has, and the rest expire.
func (m *model) settleAll() {
	m.heal()
	for _, a := range m.agents {
		if !a.online {
			m.join(a)
		}
	}
	for range 20 {
		for _, a := range m.agents {
			m.hear(a)
			m.work(a)
			m.finish(a, succeeded)
			m.ask(a)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
	}
	for _, job := range m.jobs {
		got, err := m.engine.Get(m.t.Context(), admin(), job.GetId())
		if err != nil || got.GetState() != fleetv1.JobState_JOB_STATE_DONE {
			m.rt.Fatalf("job %s is %v (%v) when every agent has answered, want it done", job.GetId(), got, err)
		}
		m.checkOutcome(job)
	}
}

// Whatever happens to connections, to the server and to the job: every target is accounted for, no attempt starts twice, no job
// runs on more terminals than its waves, limits and floor allow, nothing starts while it is paused or its site is closed, a
// limit of failures is acted on, nothing starts without the approvals that it needs, and in the end the record says what the agents
// did.
func TestNothingIsLostAndNothingRunsTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var failure any
		synctest.Test(t, func(t *testing.T) {
			m := &model{rig: newRig(t, "lyon", "lyon", "paris"), rt: rt, starts: map[string]int{}, worked: map[string]bool{}, seen: map[string]int{}, given: map[string][]*fleetv1.Approval{}}
			m.zones("a", "a", "a")
			m.fleet.actions["bb"] = restart()
			m.fleet.actions["aa"].Disruptive, m.fleet.actions["bb"].Disruptive = true, true
			// A failure is carried out of the bubble, where rapid shrinks it.
			defer func() {
				failure = recover()
				m.halt()
			}()
			for i := range 3 {
				m.agents = append(m.agents, &agentModel{index: i, id: "journal", lost: map[string]bool{}, journal: map[string]agentv1.TaskState{}, results: map[string]actionv1.TaskStatus{}, permits: map[string]time.Time{},
					outcomes: map[string]actionv1.TaskStatus{}, plugin: "aa", approved: map[string]string{}})
			}
			for range rapid.IntRange(1, 40).Draw(rt, "steps") {
				m.step()
			}
			m.settleAll()
		})
		// Rapid tells failures apart by where they come from: running out of input while it shrinks must be another one.
		switch {
		case failure == nil:
		case fmt.Sprintf("%T", failure) == "rapid.invalidData":
			panic(failure)
		default:
			panic(failure)
		}
	})
}
