package jobs

import (
	"slices"
	"time"
)

// queue is what a job has at one site. A queue of its own for each site keeps one that is closed, or full, from holding up
// the others.
type queue struct {
	job  *job
	site *site
	// ready are the tasks that only need to be let through the gates, in the order in which they got there. It may hold some
	// that no longer are.
	ready []*task
	// slots of most are in use; most is 0 when there is no limit for a site.
	slots, most int
	// servable is how many of its targets were not refused from the start.
	servable int
}

// queueAt returns the job's queue at a site, made if need be.
func (e *Engine) queueAt(j *job, name string) *queue {
	for _, q := range j.queues {
		if q.site.name == name {
			return q
		}
	}
	q := &queue{job: j, site: e.site(name)}
	j.queues = append(j.queues, q)
	return q
}

// enqueue puts a task that needs a permit into its queue, once.
func (t *task) enqueue() {
	if !t.queued && t.terminal.online && t.terminal.quarantine == nil && t.waits() {
		t.queued = true
		t.queue.push(t)
	}
}

// waits reports whether it neither holds a valid permit nor has a result.
func (t *task) waits() bool { return t.phase == waiting || t.phase == held }

func (q *queue) push(t *task) {
	q.ready = append(q.ready, t)
	q.job.ready++
}

// pop takes the first task out.
func (q *queue) pop() *task {
	t := q.ready[0]
	q.ready[0] = nil
	q.ready = q.ready[1:]
	q.job.ready--
	t.queued = false
	return t
}

// dismiss empties the queues of a job of which nothing may start any more.
func (j *job) dismiss() {
	for _, q := range j.queues {
		for len(q.ready) > 0 {
			q.pop()
		}
	}
	for _, g := range j.groups {
		g.dismiss()
	}
}

// shut is what keeps every task at the site, also one that was granted a permit and has not started.
func (q *queue) shut(now time.Time) obstacle {
	if q.job.unasked && q.site.frozen != nil {
		return byFreeze
	}
	if q.job.bound && !q.site.at(now).Open {
		return byWindow
	}
	return byNothing
}

// full is whether there is room at the site for one more.
func (q *queue) full() obstacle {
	if q.most > 0 && q.slots >= q.most {
		return bySiteSlots
	}
	return byNothing
}

// othersWait reports whether another task could have the slot of t.
func (t *task) othersWait(now time.Time) bool {
	if t.group != nil && len(t.group.parked) > 0 {
		return true
	}
	return t.job.ready > 0 && slices.ContainsFunc(t.job.queues, func(q *queue) bool {
		return len(q.ready) > 0 && q.shut(now) == byNothing
	})
}
