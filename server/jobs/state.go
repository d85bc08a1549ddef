package jobs

import (
	"slices"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// phase is how far the server knows a task to be.
type phase uint8

const (
	// waiting: no permit was ever given, so it cannot have run.
	waiting phase = iota
	// granting: the mark of its first permit is being written; nothing is sent yet.
	granting
	// permitted: the mark is on disk and the agent may hold a valid permit, or run.
	permitted
	// held: the mark is on disk, but no valid permit is out and the agent has not started it.
	held
	// closing: its result is being written.
	closing
	// done: its result is on disk.
	done
)

// attempt is the number of every task's one attempt.
const attempt = 1

// job is an active job.
type job struct {
	// id is read while the job is being written; rec only by the loop.
	id    string
	rec   *storagev1.JobRecord
	tasks []*task
	// open is how many tasks are not done.
	open int
	// queues are its tasks by site, in the order of the sites' first task; turn is whose turn it is.
	queues []*queue
	turn   int
	// ready is how many tasks stand in the queues.
	ready int
	sites map[string]*fleetv1.JobCounts
	// bound is true when windows and blackouts bind it, and takesOut when a terminal counts as out of use while it is served.
	bound, takesOut bool
	// unasked is true when no person has asked for it, so that a freeze holds it.
	unasked bool
	// early is true while its time had not come when it was looked at last.
	early bool
	spread
	// lookAt is when something of it falls due by time alone.
	lookAt     time.Time
	nextPermit uint64
	// results is how many have come, replaced ones too.
	results  uint64
	watches  map[*Watch]struct{}
	finished bool
}

// task is one task of an active job. Its results lie in the store alone.
type task struct {
	job      *job
	queue    *queue
	index    uint32
	terminal *terminal
	// terminalID and name are the terminal's, also when the task is done.
	terminalID, name string
	site             string
	phase            phase
	// before is the phase before closing.
	before phase
	// status is its result's when it is done.
	status actionv1.TaskStatus
	// slot is true while it counts against the limits of what runs at once, and placed while it takes a place in its wave: from
	// its permit on, unless it turns out not to have started.
	slot, placed bool
	// queued is true while it stands in a queue, parked while it waits for its group instead.
	queued, parked bool
	// group is that of its terminal under the job's floor; nil when the floor does not concern it.
	group *group
	// wave is the one that it was placed in.
	wave               int
	permitted, started time.Time
	// journal is the agent's journal that its mark on disk names, and sequence what that had at the hello.
	journal  string
	sequence uint64
	// lock is what the agent says it waits for; inUse is true when that is a person.
	lock, progress string
	inUse          bool
	holds
	// otherPlugin says which plugin it would run that nobody approved; empty when none.
	otherPlugin string
	// question is what it asks of a person; answers are those on disk.
	question *fleetv1.Question
	answers  []*fleetv1.Answer
}

// terminal is a terminal that has open tasks, is connected, or is watched.
type terminal struct {
	id      string
	online  bool
	session uint64
	// journal is the one of the agent of its last session.
	journal string
	// sequence is the journal's at the hello; 0 when its agent does not count.
	sequence uint64
	// quarantine is set while nothing may be started there; distrusted is true when this engine has noticed why.
	quarantine *fleetv1.Quarantine
	distrusted bool
	// found is what the latest hello told; it counts once the session is connected.
	found found
	// lostAt is when its session ended; when it has had none in this engine's life, when the engine was opened.
	lostAt time.Time
	// seen is true when lostAt is the end of a session.
	seen  bool
	open  []*task
	slots int
	condition
}

func (j *job) expires() time.Time { return j.rec.GetJob().GetExpires().AsTime() }

// notBefore is when something of it may start at the earliest.
func (j *job) notBefore() time.Time {
	if at := j.rec.GetJob().GetNotBefore(); at != nil {
		return at.AsTime()
	}
	return time.Time{}
}

// grace is how long after its last chance to start a task's result is waited for.
func (j *job) grace() time.Duration { return j.rec.GetMaxDuration().AsDuration() + settleMargin }

// nextResult is the place of a result that comes now.
func (j *job) nextResult() uint64 {
	j.results++
	return j.results
}

// over reports whether nothing of it may start any more.
func (j *job) over(now time.Time) bool {
	return withdrawn(j.rec.GetJob()) || !now.Before(j.expires())
}

// lookNoLaterThan makes sure that the job is looked at by then.
func (j *job) lookNoLaterThan(t time.Time) {
	if j.lookAt.IsZero() || t.Before(j.lookAt) {
		j.lookAt = t
	}
}

// running reports whether the task is shown as running.
func (t *task) running() bool {
	p := t.phase
	if p == closing {
		p = t.before
	}
	return p == permitted && t.lock == ""
}

// change alters a task that is not done, and keeps the counts and the watchers in step.
func (t *task) change(alter func()) {
	before := t.running()
	alter()
	if after := t.running(); after != before {
		c := t.job.sites[t.site]
		if after {
			c.Waiting, c.Running = c.Waiting-1, c.Running+1
		} else {
			c.Waiting, c.Running = c.Waiting+1, c.Running-1
		}
	}
	t.job.changed(t.index)
}

// end ends a task whose result is on disk.
func (t *task) end(status actionv1.TaskStatus) {
	c := t.job.sites[t.site]
	if t.running() {
		c.Running--
	} else {
		c.Waiting--
	}
	*bucket(c, status)++
	t.phase, t.status, t.question = done, status, nil
	t.settlePlace()
	t.dropSlot()
	t.job.open--
	t.terminal.open = slices.DeleteFunc(t.terminal.open, func(o *task) bool { return o == t })
	t.job.changed(t.index)
}

// terminal returns the terminal's state, made if need be.
func (e *Engine) terminal(id string) *terminal {
	t := e.terminals[id]
	if t == nil {
		t = &terminal{id: id, lostAt: e.now()}
		e.terminals[id] = t
	}
	return t
}

// forget drops a terminal of which nothing is remembered.
func (e *Engine) forget(t *terminal) {
	if !t.online && len(t.open) == 0 && !t.watched() && t.quarantine == nil {
		delete(e.terminals, t.id)
	}
}

// find returns the open task of a job on a terminal, nil when there is none.
func (e *Engine) find(terminalID, jobID string, number uint32) *task {
	t := e.terminals[terminalID]
	if t == nil || number != attempt {
		return nil
	}
	for _, o := range t.open {
		if o.job.id == jobID {
			return o
		}
	}
	return nil
}
