package jobs

import (
	"cmp"
	"slices"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// adopt takes an active job in. all are the terminals that count under its floor.
func (e *Engine) adopt(rec *storagev1.JobRecord, tasks []*storagev1.TaskRecord, given *permits, all []member) {
	asked := rec.GetJob()
	j := &job{
		id: asked.GetId(), rec: rec, sites: make(map[string]*fleetv1.JobCounts), nextPermit: given.next, watches: make(map[*Watch]struct{}),
		bound: rec.GetChanges() && asked.GetBreakGlass() == "", spread: newSpread(asked, servable(tasks)),
	}
	j.unasked = asked.GetPolicy() != "" || asked.GetSchedule() != "" && rec.GetChanges()
	j.takesOut = rec.GetDisruptive() && !asked.GetDryRun() || j.plan.Floor() != nil
	groups := e.formGroups(j, all)
	j.tasks = make([]*task, len(tasks))
	for i, stored := range tasks {
		e.adoptTask(j, i, stored, groups, given)
	}
	for _, q := range j.queues {
		q.most = j.plan.MaxPerSite(q.servable)
	}
	e.active = append(e.active, j)
	e.byID[j.id] = j
	j.lookNoLaterThan(e.now())
	if j.open == 0 {
		e.pending.finishes = append(e.pending.finishes, j)
		return
	}
	e.takeUp(j, tasks)
}

// servable counts the targets that were not refused from the start.
func servable(tasks []*storagev1.TaskRecord) (n int) {
	for _, t := range tasks {
		if !t.GetSettled() {
			n++
		}
	}
	return n
}

func (e *Engine) adoptTask(j *job, i int, stored *storagev1.TaskRecord, groups map[string]*group, given *permits) {
	rec := stored.GetTask()
	t := &task{
		job: j, queue: e.queueAt(j, rec.GetSite()), index: uint32(i), site: rec.GetSite(),
		terminalID: rec.GetTerminalId(), name: rec.GetTerminalName(), group: groups[rec.GetTerminalId()], answers: rec.GetAnswers(),
	}
	j.tasks[i] = t
	c := j.sites[t.site]
	if c == nil {
		c = &fleetv1.JobCounts{}
		j.sites[t.site] = c
	}
	c.Total++
	if !stored.GetSettled() {
		t.queue.servable++
	}
	if rec.GetState() != fleetv1.TaskState_TASK_STATE_DONE {
		c.Waiting++
		e.reopen(t, given)
		return
	}
	t.phase, t.status = done, rec.GetStatus()
	*bucket(c, t.status)++
	if !stored.GetSettled() {
		t.settlePlace()
	}
}

// reopen takes a task up that is not done. One that was given a permit may be running, and so may any of a restored job: it
// keeps its slot until its agent tells more.
func (e *Engine) reopen(t *task, given *permits) {
	t.job.open++
	t.terminal = e.terminal(t.terminalID)
	t.terminal.open = append(t.terminal.open, t)
	if m, ok := given.given[t.index]; ok || t.job.rec.GetRestored() {
		t.change(func() {
			t.phase, t.permitted, t.journal, t.sequence = permitted, m.at, m.journal, m.sequence
			t.started = m.started
		})
		t.takeSlot()
	}
	t.enqueue()
	if e.isRetired(t) {
		e.endRetired(t)
	}
}

// takeUp goes on with the rollout where the last engine left it. A limit that it had no time to act on is acted on before
// anything starts.
func (e *Engine) takeUp(j *job, tasks []*storagev1.TaskRecord) {
	var over []*storagev1.TaskRecord
	for _, t := range tasks {
		if !t.GetSettled() && t.GetTask().GetState() == fleetv1.TaskState_TASK_STATE_DONE {
			over = append(over, t)
			j.results = max(j.results, t.GetOrder())
		}
	}
	slices.SortStableFunc(over, func(a, b *storagev1.TaskRecord) int {
		return cmp.Or(cmp.Compare(a.GetOrder(), b.GetOrder()), a.GetTask().GetFinished().AsTime().Compare(b.GetTask().GetFinished().AsTime()))
	})
	for _, t := range over {
		j.tally(t.GetTask().GetIndex(), t.GetTask().GetStatus())
	}
	j.forgive(int(j.rec.GetForgiven()))
	if until := j.rec.GetJob().GetProgress().GetSoakUntil(); until != nil && !j.plan.IsLast(j.wave) {
		e.watchServed(j, until.AsTime())
	}
	e.judge(j)
	e.advance(j)
}
